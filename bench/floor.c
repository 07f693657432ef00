/* The floor: one blocking socket that speaks just enough of the protocol by hand.
 * No client can be faster than this.
 *
 *     floor PORT OP PATH N [WINDOW [quantiles]]
 *
 * N times OP of PATH, one after the other or WINDOW in flight. Knows no watches and no pings. "create" makes ephemeral
 * sequential nodes. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "bench.h"
#include "wire.h"

enum { TIMEOUT_MS = 30000, EPHEMERAL_SEQUENTIAL = 3, ALL = 31 };
enum { REPLIES = 4 << 20 };

static const int32_t opcodes[OPS] = {[GET] = 4, [EXISTS] = 3, [SET] = 5, [CHILDREN] = 8, [CREATE] = 1};

static char request[1024], replies[REPLIES];
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

static void add32(uint32_t value)
{
    put32(request + request_length, value);
    request_length += 4;
}

static void add_bytes(const char *bytes, size_t length)
{
    add32(length);
    memcpy(request + request_length, bytes, length);
    request_length += length;
}

static void prepare(void)
{
    char value[VALUE_LENGTH];
    memset(value, 'y', sizeof value);
    request_length = 8; /* its length and its xid */
    add32(opcodes[arg.op]);
    add_bytes(arg.path, strlen(arg.path));
    if (arg.op == SET) {
        add_bytes(value, sizeof value);
        add32(-1);
    } else if (arg.op == CREATE) {
        add_bytes(value, sizeof value);
        add32(1);
        add32(ALL);
        add_bytes("world", 5);
        add_bytes("anyone", 6);
        add32(EPHEMERAL_SEQUENTIAL);
    } else {
        request[request_length++] = 0; /* no watch */
    }
    put32(request, request_length - 4);
}

static void one_by_one(int fd)
{
    double before = 0, after;
    if (arg.latencies)
        before = now();
    for (long i = 1; i <= arg.n; i++) {
        put32(request + 4, i);
        write_all(fd, request, request_length);
        ssize_t got = read(fd, replies, sizeof replies);
        if (got < 4)
            die("read");
        size_t need = get32(replies) + 4;
        if (need > sizeof replies)
            die("a long reply");
        if ((size_t)got < need)
            read_all(fd, replies + got, need - got);
        if (get32(replies + 4) != (uint32_t)i || get32(replies + 16)) {
            fprintf(stderr, "an error or the wrong reply\n");
            exit(1);
        }
        if (arg.latencies) {
            after = now();
            arg.latencies[i - 1] = after - before;
            before = after;
        }
    }
}

static void pipelined(int fd)
{
    static char requests[1 << 16];
    long sent = 0, done = 0;
    size_t have = 0;
    while (done < arg.n) {
        char *end = requests;
        while (sent < arg.n && sent - done < arg.window && end + request_length < requests + sizeof requests) {
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
    read_arguments(argc, argv);
    int fd = connect_to(arg.port);
    handshake(fd);
    prepare();

    double wall = now(), cpu = cpu_seconds();
    if (arg.window == 1)
        one_by_one(fd);
    else
        pipelined(fd);
    report(now() - wall, cpu_seconds() - cpu);
    return 0;
}
