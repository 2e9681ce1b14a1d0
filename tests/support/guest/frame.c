// SPDX-License-Identifier: GPL-2.0-or-later
// Sends frames that a well-behaved guest would not: the sender of spoofing tests, inside and outside of guests.
//
//   frame IFACE arp  [smac=M] [dmac=M] [op=1|2] [sha=M] [spa=A] [tha=M] [tpa=A] [count=N]
//   frame IFACE udp  [smac=M] [dmac=M] [src=A] [dst=A] [sport=N] [dport=N] [data=TEXT] [count=N]
//   frame IFACE icmp [smac=M] [dmac=M] [src=A] [dst=A] [count=N]          an echo request
//   frame IFACE raw  [smac=M] [dmac=M] type=0xNNNN [data=TEXT] [count=N]  any EtherType
//   frame IFACE hex  data=HEX [count=N]                                   these bytes, nothing added
//
// What is not said is honest: the interface's own MAC and IPv4 address, broadcast as destination. Prints
// "sent N"; status 0 when all were handed to the interface, 1 when not, 2 for a usage error.
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netpacket/packet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { frame_max = 1514, text_max = 1024 };

struct buffer {
    uint8_t bytes[frame_max];
    size_t size;
};

static void put(struct buffer* out, const void* bytes, size_t size) {
    if (out->size + size > sizeof out->bytes) {
        fprintf(stderr, "frame: longer than %d bytes\n", frame_max);
        exit(2);
    }
    memcpy(out->bytes + out->size, bytes, size);
    out->size += size;
}
static void put8(struct buffer* out, unsigned value) {
    uint8_t byte = (uint8_t)value;
    put(out, &byte, 1);
}
static void put16(struct buffer* out, unsigned value) {
    uint16_t word = htons((uint16_t)value);
    put(out, &word, 2);
}

static const char* word_of(int argc, char** argv, const char* key, const char* otherwise) {
    size_t length = strlen(key);
    for (int i = 3; i < argc; ++i) {
        if (strncmp(argv[i], key, length) == 0 && argv[i][length] == '=') {
            return argv[i] + length + 1;
        }
    }
    return otherwise;
}

static void check_words(int argc, char** argv) {
    static const char* const known[] = {"smac", "dmac", "op",    "sha",   "spa",  "tha",  "tpa",
                                        "src",  "dst",  "sport", "dport", "data", "type", "count"};
    for (int i = 3; i < argc; ++i) {
        int found = 0;
        for (size_t k = 0; k < sizeof known / sizeof *known; ++k) {
            size_t length = strlen(known[k]);
            found |= strncmp(argv[i], known[k], length) == 0 && argv[i][length] == '=';
        }
        if (!found) {
            fprintf(stderr, "frame: '%s' is not KEY=VALUE of a known key\n", argv[i]);
            exit(2);
        }
    }
}

static struct ether_addr mac_of(int argc, char** argv, const char* key, struct ether_addr otherwise) {
    const char* text = word_of(argc, argv, key, NULL);
    if (!text) {
        return otherwise;
    }
    struct ether_addr* parsed = ether_aton(text);
    if (!parsed) {
        fprintf(stderr, "frame: %s: '%s' is not a MAC address\n", key, text);
        exit(2);
    }
    return *parsed;
}

static struct in_addr ip_of(int argc, char** argv, const char* key, struct in_addr otherwise) {
    const char* text = word_of(argc, argv, key, NULL);
    struct in_addr parsed;
    if (!text) {
        return otherwise;
    }
    if (inet_pton(AF_INET, text, &parsed) != 1) {
        fprintf(stderr, "frame: %s: '%s' is not an IPv4 address\n", key, text);
        exit(2);
    }
    return parsed;
}

static unsigned number_of(int argc, char** argv, const char* key, unsigned otherwise, unsigned max) {
    const char* text = word_of(argc, argv, key, NULL);
    if (!text) {
        return otherwise;
    }
    char* end;
    unsigned long value = strtoul(text, &end, 0);
    if (*text == '\0' || *end != '\0' || value > max) {
        fprintf(stderr, "frame: %s: '%s' is not a number up to %u\n", key, text, max);
        exit(2);
    }
    return (unsigned)value;
}

// RFC 1071.
static uint16_t checksum(const uint8_t* bytes, size_t size, uint32_t sum) {
    for (size_t i = 0; i + 1 < size; i += 2) {
        sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    }
    if (size % 2) {
        sum += (uint32_t)bytes[size - 1] << 8;
    }
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

static void put_ipv4(struct buffer* out, unsigned protocol, struct in_addr src, struct in_addr dst, size_t payload) {
    size_t start = out->size;
    put8(out, 0x45);
    put8(out, 0);
    put16(out, (unsigned)(20 + payload));
    put16(out, 0x4241);  // identification
    put16(out, 0x4000);  // don't fragment
    put8(out, 64);
    put8(out, protocol);
    put16(out, 0);
    put(out, &src, 4);
    put(out, &dst, 4);
    uint16_t sum = htons(checksum(out->bytes + start, 20, 0));
    memcpy(out->bytes + start + 10, &sum, 2);
}

// What the interface itself would put into its frames.
struct own {
    int index;
    struct ether_addr mac;
    struct in_addr address;
};

static struct own look_up(int fd, const char* name) {
    struct own own = {0};
    struct ifreq request = {0};
    if (strlen(name) >= IFNAMSIZ) {
        fprintf(stderr, "frame: '%s' is not an interface name\n", name);
        exit(2);
    }
    strcpy(request.ifr_name, name);
    if (ioctl(fd, SIOCGIFINDEX, &request) != 0) {
        fprintf(stderr, "frame: %s: %s\n", name, strerror(errno));
        exit(1);
    }
    own.index = request.ifr_ifindex;
    if (ioctl(fd, SIOCGIFHWADDR, &request) == 0) {
        memcpy(&own.mac, request.ifr_hwaddr.sa_data, 6);
    }
    int inet = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    request.ifr_addr.sa_family = AF_INET;
    if (inet >= 0 && ioctl(inet, SIOCGIFADDR, &request) == 0) {
        own.address = ((struct sockaddr_in*)&request.ifr_addr)->sin_addr;
    }
    if (inet >= 0) {
        close(inet);
    }
    return own;
}

static void put_hex(struct buffer* out, const char* text) {
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i += 2) {
        unsigned byte;
        int taken = 0;
        if (sscanf(text + i, "%2x%n", &byte, &taken) != 1 || taken != 2) {
            fprintf(stderr, "frame: data: '%s' is not an even number of hexadecimal digits\n", text);
            exit(2);
        }
        put8(out, byte);
    }
}

static void build(struct buffer* out, int argc, char** argv, const struct own* own) {
    const struct ether_addr everyone = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, nobody = {{0}};
    const struct in_addr none = {0}, all = {0xffffffff};
    const char* kind = argv[2];
    const char* data = word_of(argc, argv, "data", "bascule");
    size_t length = strlen(data);
    if (strcmp(kind, "hex") == 0) {
        put_hex(out, data);
        return;
    }
    struct ether_addr dmac = mac_of(argc, argv, "dmac", everyone), smac = mac_of(argc, argv, "smac", own->mac);
    if (length > text_max) {
        fprintf(stderr, "frame: data is longer than %d bytes\n", text_max);
        exit(2);
    }
    put(out, &dmac, 6);
    put(out, &smac, 6);
    if (strcmp(kind, "arp") == 0) {
        struct ether_addr sha = mac_of(argc, argv, "sha", smac), tha = mac_of(argc, argv, "tha", nobody);
        struct in_addr spa = ip_of(argc, argv, "spa", own->address), tpa = ip_of(argc, argv, "tpa", none);
        put16(out, 0x0806);
        put16(out, 1);
        put16(out, 0x0800);
        put8(out, 6);
        put8(out, 4);
        put16(out, number_of(argc, argv, "op", 1, 0xffff));
        put(out, &sha, 6);
        put(out, &spa, 4);
        put(out, &tha, 6);
        put(out, &tpa, 4);
    } else if (strcmp(kind, "udp") == 0) {
        put16(out, 0x0800);
        put_ipv4(out, 17, ip_of(argc, argv, "src", own->address), ip_of(argc, argv, "dst", all), 8 + length);
        put16(out, number_of(argc, argv, "sport", 4242, 0xffff));
        put16(out, number_of(argc, argv, "dport", 4242, 0xffff));
        put16(out, (unsigned)(8 + length));
        put16(out, 0);  // no checksum: allowed by RFC 768
        put(out, data, length);
    } else if (strcmp(kind, "icmp") == 0) {
        put16(out, 0x0800);
        put_ipv4(out, 1, ip_of(argc, argv, "src", own->address), ip_of(argc, argv, "dst", all), 8 + length);
        size_t start = out->size;
        put8(out, 8);
        put8(out, 0);
        put16(out, 0);
        put16(out, 0x4253);
        put16(out, 1);
        put(out, data, length);
        uint16_t sum = htons(checksum(out->bytes + start, 8 + length, 0));
        memcpy(out->bytes + start + 2, &sum, 2);
    } else if (strcmp(kind, "raw") == 0) {
        put16(out, number_of(argc, argv, "type", 0x88b5, 0xffff));  // IEEE 802 local experimental
        put(out, data, length);
    } else {
        fprintf(stderr, "frame: '%s' is not arp, udp, icmp, raw or hex\n", kind);
        exit(2);
    }
    while (out->size < 60) {
        put8(out, 0);
    }
}

int main(int argc, char** argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: frame IFACE arp|udp|icmp|raw|hex [KEY=VALUE …]\n");
        return 2;
    }
    check_words(argc, argv);
    int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fprintf(stderr, "frame: packet socket: %s\n", strerror(errno));
        return 1;
    }
    struct own own = look_up(fd, argv[1]);
    struct buffer frame = {.size = 0};
    build(&frame, argc, argv, &own);
    unsigned count = number_of(argc, argv, "count", 1, 1000000), sent = 0;
    struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = own.index, .sll_halen = 6};
    memcpy(to.sll_addr, frame.bytes, 6);
    while (sent < count) {
        if (sendto(fd, frame.bytes, frame.size, 0, (struct sockaddr*)&to, sizeof to) < 0) {
            if (errno == ENOBUFS) {
                usleep(1000);
                continue;
            }
            fprintf(stderr, "frame: %s: %s\n", argv[1], strerror(errno));
            return 1;
        }
        ++sent;
    }
    printf("sent %u\n", sent);
    return 0;
}
