/* What the bench hands to a C library: packets, sealed or opened in place, the tag behind the text. */
#include <stdint.h>

struct packet {
    const uint8_t *key; /* 32 octets */
    uint64_t counter;   /* the nonce is four zero octets and this, little endian */
    uint8_t *text;
    uint64_t len;
};

enum { TAG_LEN = 16, NONCE_LEN = 12, BATCH_LEN_MAX = 64 };
