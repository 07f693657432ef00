/* The C client (libzookeeper_mt), for comparison.
 *
 *     cclient PORT PATH N [WINDOW]
 *
 * N times zoo_get of PATH, or zoo_aget with WINDOW in flight. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#include "bench.h"

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t fewer = PTHREAD_COND_INITIALIZER;
static long in_flight, window = 1;

static void completed(int rc, const char *value, int length, const struct Stat *stat, const void *data)
{
    (void)value, (void)length, (void)stat, (void)data;
    if (rc)
        exit(3);
    pthread_mutex_lock(&mutex);
    if (--in_flight <= window / 2)
        pthread_cond_signal(&fewer);
    pthread_mutex_unlock(&mutex);
}

static void one_by_one(zhandle_t *handle, const char *path, long n)
{
    char value[4096];
    struct Stat stat;
    for (long i = 0; i < n; i++) {
        int length = sizeof value;
        if (zoo_get(handle, path, 0, value, &length, &stat))
            exit(3);
    }
}

static void pipelined(zhandle_t *handle, const char *path, long n)
{
    for (long i = 0; i < n; i++) {
        pthread_mutex_lock(&mutex);
        while (in_flight >= window)
            pthread_cond_wait(&fewer, &mutex);
        in_flight++;
        pthread_mutex_unlock(&mutex);
        if (zoo_aget(handle, path, 0, completed, NULL))
            exit(3);
    }
    pthread_mutex_lock(&mutex);
    while (in_flight)
        pthread_cond_wait(&fewer, &mutex);
    pthread_mutex_unlock(&mutex);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: cclient PORT PATH N [WINDOW]\n");
        return 2;
    }
    long n = atol(argv[3]);
    char hosts[64];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%s", argv[1]);
    if (argc > 4)
        window = atol(argv[4]);

    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    zhandle_t *handle = zookeeper_init(hosts, NULL, 10000, NULL, NULL, 0);
    while (zoo_state(handle) != ZOO_CONNECTED_STATE)
        usleep(1000);

    double wall = now(), cpu = cpu_seconds();
    if (window == 1)
        one_by_one(handle, argv[2], n);
    else
        pipelined(handle, argv[2], n);
    report("cclient", window, n, now() - wall, cpu_seconds() - cpu);
    zookeeper_close(handle);
    return 0;
}
