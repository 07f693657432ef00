/* What every program here has in common: its arguments, clock and CPU time, and the line that it prints. */
#ifndef BENCH_H
#define BENCH_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

/* What can be asked for. The order is that of op_names. */
enum op { GET, EXISTS, SET, CHILDREN, CREATE, OPS };
static const char *const op_names[OPS] = {"get", "exists", "set", "children", "create"};

/* set and create write so much. */
enum { VALUE_LENGTH = 100 };

static struct {
    int port;
    enum op op;
    const char *path;
    long n, window;
    double *latencies; /* one for each operation, in seconds, if they were asked for and there is a window of 1 */
} arg = {.window = 1};

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static double cpu_seconds(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return u.ru_utime.tv_sec + u.ru_stime.tv_sec + (u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

/* PORT OP PATH N [WINDOW [quantiles]] */
static void read_arguments(int argc, char **argv)
{
    if (argc > 4) {
        arg.port = atoi(argv[1]);
        while (arg.op < OPS && strcmp(argv[2], op_names[arg.op]))
            arg.op++;
        arg.path = argv[3];
        arg.n = atol(argv[4]);
    }
    if (argc > 5)
        arg.window = atol(argv[5]);
    if (argc > 6 && !strcmp(argv[6], "quantiles") && arg.n > 0 && arg.window == 1)
        arg.latencies = calloc(arg.n, sizeof *arg.latencies);
    if (argc < 5 || arg.op == OPS || arg.n < 1 || arg.window < 1 || strlen(arg.path) > 400) {
        fprintf(stderr, "usage: %s PORT get|exists|set|children|create PATH N [WINDOW [quantiles]]\n", argv[0]);
        exit(2);
    }
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

/* The latencies that 1 - 10^-x of all operations do not exceed, for x = 0.0, 0.1, ..., 4.0, in microseconds. */
static void print_quantiles(void)
{
    qsort(arg.latencies, arg.n, sizeof *arg.latencies, compare);
    printf(",\"quantiles\":[");
    for (int i = 0; i <= 40; i++) {
        long at = (1 - pow(10, -i / 10.0)) * arg.n;
        printf("%s%.2f", i ? "," : "", arg.latencies[at < arg.n ? at : arg.n - 1] * 1e6);
    }
    printf("]");
}

/* What the process has had at most of memory. (getrusage counts what was there before the exec, too.) */
static long peak_kib(void)
{
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &kib) == 1)
            break;
    if (status)
        fclose(status);
    return kib;
}

/* wall and cpu: seconds for all operations */
static void report(double wall, double cpu)
{
    printf("{\"n\":%ld,\"window\":%ld,\"wall_us\":%.4f,\"cpu_us\":%.4f,\"peak_kib\":%ld", arg.n, arg.window,
           wall / arg.n * 1e6, cpu / arg.n * 1e6, peak_kib());
    if (arg.latencies)
        print_quantiles();
    printf("}\n");
}

#endif
