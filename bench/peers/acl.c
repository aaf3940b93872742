/* DPDK's packet classifier: five-tuple rules of IPv4, the first of which that matches is found. The environment must run. */
#include <errno.h>
#include <rte_acl.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* As the bench has them; addresses and ports in host order. */
struct rule {
    uint32_t source, destination;
    uint32_t source_len, destination_len;
    uint16_t source_port[2], destination_port[2];
    uint8_t protocol, protocol_mask;
};

/* What is looked up, in network order. The library takes one octet and then groups of four. */
struct key {
    uint8_t protocol, pad[3];
    uint32_t source, destination;
    uint16_t source_port, destination_port;
};

enum { PROTOCOL, SOURCE, DESTINATION, SOURCE_PORT, DESTINATION_PORT, FIELDS };

RTE_ACL_RULE_DEF(five, FIELDS);

static const struct rte_acl_field_def defs[FIELDS] = {
    {RTE_ACL_FIELD_TYPE_BITMASK, 1, PROTOCOL, 0, offsetof(struct key, protocol)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, SOURCE, 1, offsetof(struct key, source)},
    {RTE_ACL_FIELD_TYPE_MASK, 4, DESTINATION, 2, offsetof(struct key, destination)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, SOURCE_PORT, 3, offsetof(struct key, source_port)},
    {RTE_ACL_FIELD_TYPE_RANGE, 2, DESTINATION_PORT, 3, offsetof(struct key, destination_port)},
};

static size_t held(void) {
    struct rte_malloc_socket_stats stats;
    return rte_malloc_get_socket_stats(0, &stats) == 0 ? stats.heap_allocsz_bytes : 0;
}

/* A field is a value and a length, a mask or the end of a range. */
#define SET(rule, place, size, one, other) \
    ((rule)->field[place].value.size = (one), (rule)->field[place].mask_range.size = (other))

/* What is found is the place of the rule, from 1 on; 0 is none. */
static struct five converted(const struct rule *rule, uint32_t place) {
    struct five five = {.data = {1, RTE_ACL_MAX_PRIORITY - (int32_t)place, place + 1}};
    SET(&five, PROTOCOL, u8, rule->protocol, rule->protocol_mask);
    SET(&five, SOURCE, u32, rule->source, rule->source_len);
    SET(&five, DESTINATION, u32, rule->destination, rule->destination_len);
    SET(&five, SOURCE_PORT, u16, rule->source_port[0], rule->source_port[1]);
    SET(&five, DESTINATION_PORT, u16, rule->destination_port[0], rule->destination_port[1]);
    return five;
}

static int filled(struct rte_acl_ctx *context, const struct rule *rules, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        const struct five five = converted(&rules[i], i);
        int error = rte_acl_add_rules(context, (const struct rte_acl_rule *)&five, 1);
        if (error != 0)
            return error;
    }
    return 0;
}

/* A context with these rules, and what its structures take; NULL and errno. With `most` the library makes few large tries that
   take no more octets than that, with 0 more and smaller ones. */
struct rte_acl_ctx *peer_acl_new(const char *name, const struct rule *rules, uint32_t count, size_t most, size_t *octets) {
    const struct rte_acl_param param = {name, 0, RTE_ACL_RULE_SZ(FIELDS), count};
    struct rte_acl_config config = {.num_categories = 1, .num_fields = FIELDS, .max_size = most};
    memcpy(config.defs, defs, sizeof defs);
    struct rte_acl_ctx *context = rte_acl_create(&param);
    if (context == NULL) {
        errno = rte_errno;
        return NULL;
    }
    int error = filled(context, rules, count);
    size_t before = held();
    if (error == 0)
        error = rte_acl_build(context, &config);
    *octets = held() - before;
    if (error == 0)
        return context;
    rte_acl_free(context);
    errno = -error;
    return NULL;
}

void peer_acl_free(struct rte_acl_ctx *context) { rte_acl_free(context); }

/* Whether the machine has what this algorithm needs. */
int peer_acl_has(struct rte_acl_ctx *context, int algorithm) {
    return rte_acl_set_ctx_classify(context, (enum rte_acl_classify_alg)algorithm) == 0;
}

/* 0 when the results are there. */
int peer_acl(const struct rte_acl_ctx *context, const struct key *const *keys, uint32_t *results, uint32_t count, int algorithm) {
    return rte_acl_classify_alg(context, (const uint8_t **)(uintptr_t)keys, results, count, 1, (enum rte_acl_classify_alg)algorithm);
}

/* Builds such a context in a process of its own, which can be ended, unlike the library's work: 0 when that ends well within so
   many seconds of the core, else an error of errno.h. */
int peer_acl_try(const struct rule *rules, uint32_t count, size_t most, unsigned seconds) {
    pid_t child = fork();
    if (child < 0)
        return errno;
    if (child == 0) {
        size_t octets;
        const struct rlimit limit = {seconds, seconds + 1};
        if (setrlimit(RLIMIT_CPU, &limit) != 0)
            _exit(errno);
        _exit(peer_acl_new("try", rules, count, most, &octets) == NULL ? errno : 0);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return errno;
    if (WIFEXITED(status))
        return WEXITSTATUS(status);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU ? ETIMEDOUT : ECHILD;
}
