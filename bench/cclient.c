/* The C client (libzookeeper_mt), for comparison.
 *
 *     cclient PORT OP PATH N [WINDOW [quantiles|refill]]
 *
 * N times OP of PATH by the calls that wait, or by the others with WINDOW in flight, of which the first N/10 don't
 * count: each answer asks for the next, or with "refill" another thread does when half of them are answered. */
#include <semaphore.h>
#include <unistd.h>
#include <zookeeper/zookeeper.h>

#include "bench.h"

static zhandle_t *handle;
static long warm;
static double wall, cpu;
static char value[4 << 20];

static void start_clock(void)
{
    wall = now();
    cpu = cpu_seconds();
}

static void stop_clock(void)
{
    report(now() - wall, cpu_seconds() - cpu);
}

static int call(void)
{
    int length = arg.op == GET ? sizeof value : VALUE_LENGTH, code;
    char name[512];
    struct Stat stat;
    struct String_vector names;
    switch (arg.op) {
    case GET:
        return zoo_get(handle, arg.path, 0, value, &length, &stat);
    case EXISTS:
        return zoo_exists(handle, arg.path, 0, &stat);
    case SET:
        return zoo_set2(handle, arg.path, value, length, -1, &stat);
    case CHILDREN:
        code = zoo_get_children(handle, arg.path, 0, &names);
        if (!code)
            deallocate_String_vector(&names);
        return code;
    default:
        return zoo_create(handle, arg.path, value, length, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE, name,
                          sizeof name);
    }
}

static void one_by_one(void)
{
    double before = 0, after;
    start_clock();
    if (arg.latencies)
        before = now();
    for (long i = 0; i < arg.n; i++) {
        if (call())
            exit(3);
        if (arg.latencies) {
            after = now();
            arg.latencies[i] = after - before;
            before = after;
        }
    }
    stop_clock();
}

/* These are the business of the client's own thread, which calls "completed" for one answer after the other. */
static long answered;
static int refills;
static sem_t half, done;

static void ask(void);

static void completed(int rc)
{
    if (answered == warm + arg.n)
        return;
    if (rc)
        exit(3);
    answered++;
    if (answered == warm)
        start_clock();
    if (answered == warm + arg.n) {
        stop_clock();
        sem_post(&done);
    }
    if (!refills)
        ask();
    else if (answered % (arg.window / 2) == 0)
        sem_post(&half);
}

static void completed_data(int rc, const char *data, int length, const struct Stat *stat, const void *given)
{
    (void)data, (void)length, (void)stat, (void)given;
    completed(rc);
}

static void completed_stat(int rc, const struct Stat *stat, const void *given)
{
    (void)stat, (void)given;
    completed(rc);
}

static void completed_strings(int rc, const struct String_vector *names, const void *given)
{
    (void)names, (void)given;
    completed(rc);
}

static void completed_string(int rc, const char *name, const void *given)
{
    (void)name, (void)given;
    completed(rc);
}

static int post(void)
{
    switch (arg.op) {
    case GET:
        return zoo_aget(handle, arg.path, 0, completed_data, NULL);
    case EXISTS:
        return zoo_aexists(handle, arg.path, 0, completed_stat, NULL);
    case SET:
        return zoo_aset(handle, arg.path, value, VALUE_LENGTH, -1, completed_stat, NULL);
    case CHILDREN:
        return zoo_aget_children(handle, arg.path, 0, completed_strings, NULL);
    default:
        return zoo_acreate(handle, arg.path, value, VALUE_LENGTH, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL | ZOO_SEQUENCE,
                           completed_string, NULL);
    }
}

static void ask(void)
{
    if (post())
        exit(3);
}

static void pipelined(void)
{
    warm = 1 + arg.n / 10;
    sem_init(&half, 0, 0);
    sem_init(&done, 0, 0);
    for (long i = 0; i < arg.window; i++)
        ask();
    for (long asked = arg.window; refills && asked < warm + arg.n; asked += arg.window / 2) {
        sem_wait(&half);
        for (long i = 0; i < arg.window / 2; i++)
            ask();
    }
    sem_wait(&done);
}

int main(int argc, char **argv)
{
    read_arguments(argc, argv);
    refills = argc > 6 && !strcmp(argv[6], "refill");
    char hosts[64];
    snprintf(hosts, sizeof hosts, "127.0.0.1:%d", arg.port);

    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    handle = zookeeper_init(hosts, NULL, 30000, NULL, NULL, 0);
    while (zoo_state(handle) != ZOO_CONNECTED_STATE)
        usleep(1000);
    if (arg.window == 1)
        one_by_one();
    else
        pipelined();
    fflush(stdout);
    _exit(0); /* the answers that are still to come don't matter */
}
