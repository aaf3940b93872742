/* DPDK's table of IPv4 routes of the kind DIR24_8 with next hops of two octets, looked up in bulk. The environment must run. */
#include <errno.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <stddef.h>
#include <stdint.h>

/* As the bench has them; the address in host order. */
struct route {
    uint32_t address, len, next_hop;
};

static int filled(struct rte_fib *fib, const struct route *routes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int error = rte_fib_add(fib, routes[i].address, (uint8_t)routes[i].len, routes[i].next_hop);
        if (error != 0)
            return error;
    }
    return 0;
}

/* A table with these routes and room for so many groups of 256 addresses that longer prefixes part; NULL and errno. What no route
   covers leads to 0. */
struct rte_fib *peer_fib_new(const struct route *routes, uint32_t count, uint32_t groups) {
    struct rte_fib_conf config = {.type = RTE_FIB_DIR24_8, .default_nh = 0, .max_routes = (int)count};
    config.dir24_8.nh_sz = RTE_FIB_DIR24_8_2B;
    config.dir24_8.num_tbl8 = groups;
    struct rte_fib *fib = rte_fib_create("bench", -1, &config);
    if (fib == NULL) {
        errno = rte_errno;
        return NULL;
    }
    int error = filled(fib, routes, count);
    if (error == 0)
        return fib;
    rte_fib_free(fib);
    errno = -error;
    return NULL;
}

void peer_fib_free(struct rte_fib *fib) { rte_fib_free(fib); }

/* Whether the machine has what this way of looking up needs; the next lookups are made so. */
int peer_fib_select(struct rte_fib *fib, int way) { return rte_fib_select_lookup(fib, (enum rte_fib_lookup_type)way) == 0; }

/* 0 when the next hops are there. */
int peer_fib(struct rte_fib *fib, const uint32_t *addresses, uint64_t *next_hops, uint32_t count) {
    return rte_fib_lookup_bulk(fib, (uint32_t *)(uintptr_t)addresses, next_hops, (int)count);
}
