// SPDX-License-Identifier: GPL-2.0-or-later
// Runs commands that arrive on a channel, for tests: in a guest, or in a whole host that a test booted.
//
//   responder [DEVICE]     DEVICE: default is the virtio-serial port whose name is bascule.responder
//
// A request is a line "ID SECONDS COMMAND…". The command runs under /bin/sh with nothing on its standard input; the
// answer is "ID STATUS LENGTH\n" and LENGTH bytes of what it wrote, errors included. STATUS is the shell's: 128 + the
// signal that killed it, 124 when its seconds were over (then everything in its process group is killed). Output is
// cut at 1 MiB, with a last line that says so. What the command left running in the background lives on.
// One command at a time, in order. Lines that are not requests are passed over: the other side may have gone away in
// the middle of one.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { line_max = 64 << 10, output_max = 1 << 20, id_max = 64, seconds_max = 86400, out_of_time = 124 };
static const char cut_note[] = "\n[responder: output cut at 1 MiB]\n";

struct request {
    char id[id_max + 1];
    long seconds;
    const char* command;
};

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int parse(char* line, struct request* out) {
    size_t length = strcspn(line, " ");
    if (length == 0 || length > id_max || line[length] == '\0') {
        return 0;
    }
    for (size_t i = 0; i < length; ++i) {
        if (!isalnum((unsigned char)line[i])) {
            return 0;
        }
    }
    memcpy(out->id, line, length);
    out->id[length] = '\0';
    char* end;
    out->seconds = strtol(line + length + 1, &end, 10);
    out->command = end + 1;
    return *end == ' ' && out->seconds > 0 && out->seconds <= seconds_max;
}

// Never gives up: while nobody listens on the other side, writing waits.
static void send_all(int device, const char* bytes, size_t size) {
    while (size > 0) {
        ssize_t sent = write(device, bytes, size);
        if (sent < 0 && errno != EINTR) {
            usleep(50000);
        } else if (sent > 0) {
            bytes += sent;
            size -= (size_t)sent;
        }
    }
}

static pid_t begin(const char* command, int output) {
    pid_t pid = fork();
    if (pid != 0) {
        return pid;
    }
    setpgid(0, 0);
    signal(SIGPIPE, SIG_DFL);
    int nothing = open("/dev/null", O_RDONLY);
    dup2(nothing, 0);
    dup2(output, 1);
    dup2(output, 2);
    if (nothing > 2) {
        close(nothing);
    }
    execl("/bin/sh", "sh", "-c", command, (char*)NULL);
    dprintf(2, "responder: /bin/sh: %s\n", strerror(errno));
    _exit(127);
}

// Takes what is in the pipe now; beyond the limit it is read and thrown away, so that the writer goes on.
static void collect(int pipe, char* output, size_t* size, int* cut) {
    char rest[4096];
    for (;;) {
        int full = *size == output_max;
        ssize_t got = full ? read(pipe, rest, sizeof rest) : read(pipe, output + *size, output_max - *size);
        if (got <= 0) {
            return;
        }
        if (full) {
            *cut = 1;
        } else {
            *size += (size_t)got;
        }
    }
}

static void run(const struct request* request, int device) {
    static char output[output_max + sizeof cut_note];
    size_t size = 0;
    int cut = 0, ends[2], status = 126;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        size = (size_t)snprintf(output, sizeof output, "responder: pipe: %s\n", strerror(errno));
    } else {
        fcntl(ends[0], F_SETFL, O_NONBLOCK);
        long long deadline = now_ms() + request->seconds * 1000;
        pid_t pid = begin(request->command, ends[1]);
        close(ends[1]);
        setpgid(pid, pid);  // by whoever comes first
        int how = 0, over = 0;
        while (waitpid(pid, &how, WNOHANG) == 0) {
            struct pollfd wait = {.fd = ends[0], .events = POLLIN};
            // Its end is not an event of the pipe when something in the background holds that open.
            poll(&wait, 1, 20);
            collect(ends[0], output, &size, &cut);
            if (wait.revents & POLLHUP) {
                usleep(5000);
            }
            if (!over && now_ms() >= deadline) {
                over = 1;
                kill(-pid, SIGKILL);
            }
        }
        collect(ends[0], output, &size, &cut);
        close(ends[0]);
        status = over ? out_of_time : WIFSIGNALED(how) ? 128 + WTERMSIG(how) : WEXITSTATUS(how);
    }
    if (cut) {
        memcpy(output + size, cut_note, sizeof cut_note - 1);
        size += sizeof cut_note - 1;
    }
    char header[id_max + 64];
    int length = snprintf(header, sizeof header, "%s %d %zu\n", request->id, status, size);
    send_all(device, header, (size_t)length);
    send_all(device, output, size);
}

// /dev/vportNpM of the port that has our name.
static int find_port(char* path, size_t size) {
    DIR* folder = opendir("/sys/class/virtio-ports");
    struct dirent* entry;
    int found = 0;
    while (folder && !found && (entry = readdir(folder))) {
        char file[300], name[64] = "";
        snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", entry->d_name);
        FILE* stream = fopen(file, "re");
        if (stream) {
            found = fgets(name, sizeof name, stream) && strcmp(name, "bascule.responder\n") == 0;
            fclose(stream);
        }
        if (found) {
            snprintf(path, size, "/dev/%s", entry->d_name);
        }
    }
    if (folder) {
        closedir(folder);
    }
    return found;
}

int main(int argc, char** argv) {
    static char line[line_max + 1];
    char path[300];
    if (argc > 2) {
        fprintf(stderr, "usage: responder [DEVICE]\n");
        return 2;
    }
    if (argc == 2) {
        snprintf(path, sizeof path, "%s", argv[1]);
    } else if (!find_port(path, sizeof path)) {
        fprintf(stderr, "responder: no virtio-serial port is called bascule.responder\n");
        return 1;
    }
    int device = open(path, O_RDWR | O_CLOEXEC | O_NOCTTY);
    struct termios raw;
    if (device < 0) {
        fprintf(stderr, "responder: %s: %s\n", path, strerror(errno));
        return 1;
    }
    if (tcgetattr(device, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(device, TCSANOW, &raw);
    }
    signal(SIGPIPE, SIG_IGN);
    size_t size = 0;
    int too_long = 0;
    for (;;) {
        char byte[4096];
        ssize_t got = read(device, byte, sizeof byte);
        if (got <= 0) {
            size = 0;  // nobody is on the other side: what was begun will not be finished
            too_long = 0;
            usleep(50000);
            continue;
        }
        for (ssize_t i = 0; i < got; ++i) {
            if (byte[i] != '\n') {
                too_long |= size == line_max;
                if (!too_long) {
                    line[size++] = byte[i];
                }
                continue;
            }
            line[size] = '\0';
            struct request request;
            if (!too_long && parse(line, &request)) {
                run(&request, device);
            }
            size = 0;
            too_long = 0;
        }
    }
}
