/* Clock, CPU time and the line that every program here prints. */
#ifndef BENCH_H
#define BENCH_H

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

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

/* wall and cpu: seconds for n operations */
static void report(const char *name, long window, long n, double wall, double cpu)
{
    printf("%s window=%ld %.2f us/op %.0f ops/s cpu %.2f us/op\n", name, window, wall / n * 1e6, n / wall,
           cpu / n * 1e6);
}

#endif
