/* The floor: one blocking socket that speaks just enough of the protocol by hand.
 * No client can be faster than this.
 *
 *     floor PORT PATH N [WINDOW]
 *
 * N times getData of PATH (at most 400 bytes), one after the other or WINDOW in
 * flight. Knows no watches, no pings, no reply longer than 64 KiB. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bench.h"
#include "wire.h"

enum { GET_DATA = 4, TIMEOUT_MS = 10000 };

static char request[512];
static size_t request_length;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void read_all(int fd, char *at, size_t length)
{
    while (length) {
        ssize_t got = read(fd, at, length);
        if (got <= 0)
            die("read");
        at += got;
        length -= got;
    }
}

static void write_all(int fd, const char *at, size_t length)
{
    while (length) {
        ssize_t put = write(fd, at, length);
        if (put <= 0)
            die("write");
        at += put;
        length -= put;
    }
}

static int connect_to(int port)
{
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (void *)&address, sizeof address))
        die("connect");
    return fd;
}

/* ConnectRequest: version, last zxid, timeout, session id, password, read-only */
static void handshake(int fd)
{
    char frame[49] = {0}, answer[256];
    put32(frame, 45);
    put32(frame + 16, TIMEOUT_MS);
    put32(frame + 28, 16);
    write_all(fd, frame, sizeof frame);
    read_all(fd, answer, 4);
    if (get32(answer) > sizeof answer)
        die("handshake");
    read_all(fd, answer, get32(answer));
}

static void prepare(const char *path)
{
    size_t length = strlen(path);
    request_length = 4 + 8 + 4 + length + 1;
    put32(request, request_length - 4);
    put32(request + 8, GET_DATA);
    put32(request + 12, length);
    memcpy(request + 16, path, length);
}

static void one_by_one(int fd, long n)
{
    static char reply[1 << 16];
    for (long i = 1; i <= n; i++) {
        put32(request + 4, i);
        write_all(fd, request, request_length);
        ssize_t got = read(fd, reply, sizeof reply);
        if (got < 4)
            die("read");
        size_t need = get32(reply) + 4;
        if ((size_t)got < need)
            read_all(fd, reply + got, need - got);
        if (get32(reply + 4) != (uint32_t)i || get32(reply + 16)) {
            fprintf(stderr, "an error or the wrong reply\n");
            exit(1);
        }
    }
}

static void pipelined(int fd, long n, long window)
{
    static char requests[1 << 16], replies[1 << 20];
    long sent = 0, done = 0;
    size_t have = 0;
    while (done < n) {
        char *end = requests;
        while (sent < n && sent - done < window && end + request_length < requests + sizeof requests) {
            put32(request + 4, ++sent);
            memcpy(end, request, request_length);
            end += request_length;
        }
        write_all(fd, requests, end - requests);
        ssize_t got = read(fd, replies + have, sizeof replies - have);
        if (got <= 0)
            die("read");
        have += got;
        size_t at = 0;
        while (have - at >= 4 && have - at >= get32(replies + at) + 4) {
            at += get32(replies + at) + 4;
            done++;
        }
        memmove(replies, replies + at, have - at);
        have -= at;
    }
}

int main(int argc, char **argv)
{
    if (argc < 4 || strlen(argv[2]) > 400) {
        fprintf(stderr, "usage: floor PORT PATH N [WINDOW]\n");
        return 2;
    }
    long n = atol(argv[3]), window = argc > 4 ? atol(argv[4]) : 1;
    int fd = connect_to(atoi(argv[1]));
    handshake(fd);
    prepare(argv[2]);

    double wall = now(), cpu = cpu_seconds();
    if (window == 1)
        one_by_one(fd, n);
    else
        pipelined(fd, n, window);
    report("floor", window, n, now() - wall, cpu_seconds() - cpu);
    return 0;
}
