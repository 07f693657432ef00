/* A responder that answers at once, so that a client's own cost shows.
 *
 *     stub PORT
 *
 * Knows the handshake, ping, create and create2 (answered with the path), getData (100 bytes, of "/data/N" N bytes), exists, setData,
 * getChildren (ten names, of "/children/N" N of them) and closeSession; everything else gets error -6. Watches of
 * getData, exists and getChildren are kept for the connection; setData to "/fire" fires them all, as changes. They can
 * be set anew on another connection. setData to "/drop" ends the connection instead of an answer. getData of "/late"
 * is answered with the next request. For measurements only. Ends when its standard input does. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "wire.h"

enum {
    CREATE = 1,
    EXISTS = 3,
    GET_DATA = 4,
    SET_DATA = 5,
    GET_CHILDREN = 8,
    PING = 11,
    CREATE2 = 15,
    SET_WATCHES = 101,
    CLOSE_SESSION = -11,
    UNIMPLEMENTED = -6
};
enum { DATA_LENGTH = 100, NAMES = 10, NAME_LENGTH = 14, STAT_LENGTH = 68, OUT_SIZE = 8 << 20, LONGEST_REPLY = 1024 };
enum { WATCH_XID = -1, CHANGED = 3, CONNECTED = 3 };

struct client {
    int fd, greeted;
    /* The request for "/late" that waits for the next one; 0 is nobody's xid. */
    uint32_t late;
    /* Paths with their lengths, one behind the other, as they came. */
    char *watched;
    size_t watched_length, watched_room;
    size_t have;
    char in[1 << 18];
};

static int epoll;
static uint64_t zxid = 1;
static char out[OUT_SIZE], *out_end;

static void put64(char *at, uint64_t value)
{
    put32(at, value >> 32);
    put32(at + 4, (uint32_t)value);
}

static void add_stat(size_t data_length)
{
    char *at = out_end;
    memset(at, 0, STAT_LENGTH);
    put64(at, 1);                     /* czxid */
    put64(at + 8, 1);                 /* mzxid */
    put64(at + 16, 1700000000000);    /* ctime */
    put64(at + 24, 1700000000000);    /* mtime */
    put32(at + 52, data_length);
    put64(at + 60, 1);                /* pzxid */
    out_end += STAT_LENGTH;
}

/* ConnectResponse: version, timeout, session id, password, read-only */
static void answer_handshake(void)
{
    char *at = out_end;
    memset(at, 0, 41);
    put32(at, 37);
    put32(at + 8, 10000);
    put64(at + 12, 0x1234567);
    put32(at + 20, 16);
    memset(at + 24, 7, 16);
    out_end += 41;
}

static char *start_reply(uint32_t xid, uint64_t reply_zxid, int32_t error)
{
    char *start = out_end;
    put32(start + 4, xid);
    put64(start + 8, reply_zxid);
    put32(start + 16, error);
    out_end += 20;
    return start;
}

static void end_reply(char *start)
{
    put32(start, out_end - start - 4);
}

static void answer_get(uint32_t xid, size_t length)
{
    char *start = start_reply(xid, zxid, 0);
    put32(out_end, length);
    memset(out_end + 4, 'x', length);
    out_end += 4 + length;
    add_stat(length);
    end_reply(start);
}

static void answer_children(uint32_t xid, size_t count)
{
    char *start = start_reply(xid, zxid, 0), name[32];
    put32(out_end, count);
    out_end += 4;
    for (size_t i = 0; i < count; i++) {
        snprintf(name, sizeof name, "name%010zu", i);
        put32(out_end, NAME_LENGTH);
        memcpy(out_end + 4, name, NAME_LENGTH);
        out_end += 4 + NAME_LENGTH;
    }
    end_reply(start);
}

/* Behind a string or buffer with its length before it. */
static const char *skip(const char *at)
{
    int32_t length = get32(at);
    return at + 4 + (length > 0 ? length : 0);
}

/* request: path, data, ACL, flags. The name of a sequential node gets its number. */
static void answer_create(uint32_t xid, const char *request, int has_stat)
{
    const char *at = skip(skip(request));
    uint32_t entries = get32(at), length = get32(request);
    for (at += 4; entries--;)
        at = skip(skip(at + 4));
    int sequential = get32(at) & 2;
    char *start = start_reply(xid, ++zxid, 0);
    put32(out_end, length + (sequential ? 10 : 0));
    memcpy(out_end + 4, request + 4, length);
    if (sequential)
        memcpy(out_end + 4 + length, "0000000001", 10);
    out_end += 4 + length + (sequential ? 10 : 0);
    if (has_stat)
        add_stat(DATA_LENGTH);
    end_reply(start);
}

static int flush_to(int fd)
{
    char *at = out;
    while (at < out_end) {
        ssize_t put = send(fd, at, out_end - at, MSG_NOSIGNAL);
        if (put <= 0)
            return 0;
        at += put;
    }
    out_end = out;
    return 1;
}

static int make_room(int fd, size_t reply_length)
{
    return out_end + reply_length <= out + OUT_SIZE || (flush_to(fd) && reply_length <= OUT_SIZE);
}

/* path: with its length before it */
static void keep_watch(struct client *client, const char *path)
{
    size_t length = 4 + get32(path);
    if (client->watched_length + length > client->watched_room) {
        client->watched_room = 2 * client->watched_room + 4096;
        client->watched = realloc(client->watched, client->watched_room);
        if (!client->watched)
            exit(1);
    }
    memcpy(client->watched + client->watched_length, path, length);
    client->watched_length += length;
}

/* lists: of data, exist and child watches */
static void keep_watches(struct client *client, const char *lists)
{
    for (int list = 0; list < 3; list++) {
        uint32_t count = get32(lists);
        lists += 4;
        for (uint32_t i = 0; i < count; i++) {
            keep_watch(client, lists);
            lists += 4 + get32(lists);
        }
    }
}

/* Returns 0 when the connection is over. */
static int fire(struct client *client)
{
    for (size_t at = 0; at < client->watched_length;) {
        size_t length = 4 + get32(client->watched + at);
        if (!make_room(client->fd, LONGEST_REPLY))
            return 0;
        char *start = start_reply(WATCH_XID, -1, 0);
        put32(out_end, CHANGED);
        put32(out_end + 4, CONNECTED);
        memcpy(out_end + 8, client->watched + at, length);
        out_end += 8 + length;
        end_reply(start);
        at += length;
    }
    client->watched_length = 0;
    return make_room(client->fd, LONGEST_REPLY);
}

static int is_path(const char *path, const char *other)
{
    return get32(path) == strlen(other) && !memcmp(path + 4, other, strlen(other));
}

/* The number behind this prefix of a path, else the one that is given. */
static size_t number_in(const char *path, const char *prefix, size_t otherwise)
{
    size_t length = get32(path), prefix_length = strlen(prefix), number = 0;
    if (length <= prefix_length || memcmp(path + 4, prefix, prefix_length))
        return otherwise;
    for (size_t i = prefix_length; i < length; i++)
        number = 10 * number + (path[4 + i] - '0') % 10;
    return number;
}

/* Returns 0 when the connection is over. */
static int answer_request(struct client *client, const char *request)
{
    uint32_t xid = get32(request);
    int32_t op = get32(request + 4);
    const char *path = request + 8;
    if (client->late)
        answer_get(client->late, DATA_LENGTH);
    client->late = 0;
    int reads = op == GET_DATA || op == EXISTS || op == GET_CHILDREN;
    if (reads && path[4 + get32(path)])
        keep_watch(client, path);
    if (op == GET_DATA) {
        size_t length = number_in(path, "/data/", DATA_LENGTH);
        if (!make_room(client->fd, length + LONGEST_REPLY))
            return 0;
        if (is_path(path, "/late"))
            client->late = xid;
        else
            answer_get(xid, length);
        return 1;
    }
    if (op == GET_CHILDREN) {
        size_t count = number_in(path, "/children/", NAMES);
        if (!make_room(client->fd, count * (4 + NAME_LENGTH) + LONGEST_REPLY))
            return 0;
        answer_children(xid, count);
        return 1;
    }
    if (op == CREATE || op == CREATE2) {
        answer_create(xid, path, op == CREATE2);
        return 1;
    }
    if (op == SET_WATCHES)
        keep_watches(client, request + 16);
    if (op == SET_DATA) {
        zxid++;
        if (is_path(path, "/drop"))
            return 0;
        if (is_path(path, "/fire") && !fire(client))
            return 0;
    }
    int has_stat = op == EXISTS || op == SET_DATA;
    int known = has_stat || op == PING || op == SET_WATCHES || op == CLOSE_SESSION;
    char *start = start_reply(xid, zxid, known ? 0 : UNIMPLEMENTED);
    if (has_stat)
        add_stat(DATA_LENGTH);
    end_reply(start);
    return op != CLOSE_SESSION;
}

/* Returns 0 when the connection is over. */
static int serve(struct client *client)
{
    ssize_t got = read(client->fd, client->in + client->have, sizeof client->in - client->have);
    if (got <= 0)
        return 0;
    client->have += got;
    size_t at = 0;
    int open = 1;
    out_end = out;
    while (open && client->have - at >= 4 && client->have - at >= get32(client->in + at) + 4) {
        const char *frame = client->in + at;
        at += get32(frame) + 4;
        if (client->greeted)
            open = answer_request(client, frame + 4);
        else
            answer_handshake();
        client->greeted = 1;
        if (!make_room(client->fd, LONGEST_REPLY))
            return 0;
    }
    memmove(client->in, client->in + at, client->have - at);
    client->have -= at;
    return flush_to(client->fd) && open;
}

static void watch(int fd, void *data)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = data};
    /* EPERM: a standard input that is a file never ends */
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) && errno != EPERM) {
        perror("epoll_ctl");
        exit(1);
    }
}

static void welcome(int listener)
{
    int one = 1, fd = accept(listener, NULL, NULL);
    struct client *client = calloc(1, sizeof *client);
    if (fd < 0 || !client)
        exit(1);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    client->fd = fd;
    watch(fd, client);
}

static void leave(struct client *client)
{
    close(client->fd);
    free(client->watched);
    free(client);
}

int main(int argc, char **argv)
{
    int one = 1, listener = socket(AF_INET, SOCK_STREAM, 0), input = STDIN_FILENO;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(argc > 1 ? atoi(argv[1]) : 0)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (argc < 2 || bind(listener, (void *)&address, sizeof address) || listen(listener, 128)) {
        perror("stub PORT");
        return 1;
    }
    epoll = epoll_create1(0);
    watch(listener, &listener);
    watch(input, &input);
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll, events, 64, -1);
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &input) {
                if (read(input, out, sizeof out) <= 0)
                    return 0;
            } else if (who == &listener) {
                welcome(listener);
            } else if (!serve(who)) {
                leave(who);
            }
        }
    }
}
