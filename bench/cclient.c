/* The C client (libzookeeper_mt), for comparison.
 *
 *     cclient PORT PATH N [WINDOW [refill]]
 *
 * N times zoo_get of PATH, or zoo_aget with WINDOW in flight, of which the first N/10 don't count: each answer asks for
 * the next, or with "refill" another thread does when half of them are answered. */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#include "bench.h"

static zhandle_t *handle;
static const char *path;
static long n, window = 1, warm;
static double wall, cpu;

static void start_clock(void)
{
    wall = now();
    cpu = cpu_seconds();
}

static void stop_clock(void)
{
    report("cclient", window, n, now() - wall, cpu_seconds() - cpu);
}

static void one_by_one(void)
{
    char value[4096];
    struct Stat stat;
    start_clock();
    for (long i = 0; i < n; i++) {
        int length = sizeof value;
        if (zoo_get(handle, path, 0, value, &length, &stat))
            exit(3);
    }
    stop_clock();
}

/* These are the business of the client's own thread, which calls "completed" for one answer after the other. */
static long answered;
static int refills;
static sem_t half, done;

static void ask(void);

static void completed(int rc, const char *value, int length, const struct Stat *stat, const void *data)
{
    (void)value, (void)length, (void)stat, (void)data;
    if (answered == warm + n)
        return;
    if (rc)
        exit(3);
    answered++;
    if (answered == warm)
        start_clock();
    if (answered == warm + n) {
        stop_clock();
        sem_post(&done);
    }
    if (!refills)
        ask();
    else if (answered % (window / 2) == 0)
        sem_post(&half);
}

static void ask(void)
{
    if (zoo_aget(handle, path, 0, completed, NULL))
        exit(3);
}

static void pipelined(void)
{
    warm = 1 + n / 10;
    sem_init(&half, 0, 0);
    sem_init(&done, 0, 0);
    for (long i = 0; i < window; i++)
        ask();
    for (long asked = window; refills && asked < warm + n; asked += window / 2) {
        sem_wait(&half);
        for (long i = 0; i < window / 2; i++)
            ask();
    }
    sem_wait(&done);
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: cclient PORT PATH N [WINDOW [refill]]\n");
        return 2;
    }
    path = argv[2];
    n = atol(argv[3]);
    char hosts[64];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%s", argv[1]);
    if (argc > 4)
        window = atol(argv[4]);
    refills = argc > 5 && !strcmp(argv[5], "refill");

    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    handle = zookeeper_init(hosts, NULL, 10000, NULL, NULL, 0);
    while (zoo_state(handle) != ZOO_CONNECTED_STATE)
        usleep(1000);
    if (window == 1)
        one_by_one();
    else
        pipelined();
    fflush(stdout);
    _exit(0); /* the answers that are still to come don't matter */
}
