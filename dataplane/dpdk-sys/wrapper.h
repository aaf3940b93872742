/* What dpdk-sys binds: DPDK's headers, and the constants that bindgen cannot read out of macros. */
#include <stddef.h>
#include <stdio.h>
#include <rte_bus_vdev.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>
#include <rte_log.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>
#include <rte_mempool.h>
#include <rte_ring.h>
#include <rte_version.h>

/*
 * Where the fields of an mbuf lie. The type itself stays opaque to Rust: later releases wrap some of these fields in
 * anonymous unions, which changes every path that bindgen would give them, but never the offsets' names here.
 */
enum millrace_mbuf_offset {
  MBUF_BUF_ADDR = offsetof(struct rte_mbuf, buf_addr),
  MBUF_DATA_OFF = offsetof(struct rte_mbuf, data_off),
  MBUF_NB_SEGS = offsetof(struct rte_mbuf, nb_segs),
  MBUF_OL_FLAGS = offsetof(struct rte_mbuf, ol_flags),
  MBUF_PKT_LEN = offsetof(struct rte_mbuf, pkt_len),
  MBUF_DATA_LEN = offsetof(struct rte_mbuf, data_len),
  MBUF_BUF_LEN = offsetof(struct rte_mbuf, buf_len),
  MBUF_HASH = offsetof(struct rte_mbuf, hash),
  MBUF_HASH_LEN = sizeof(((struct rte_mbuf *)0)->hash),
};

static const uint64_t RX_OFFLOAD_IPV4_CKSUM = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM;
static const uint64_t RX_OFFLOAD_UDP_CKSUM = RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
static const uint64_t RX_OFFLOAD_TCP_CKSUM = RTE_ETH_RX_OFFLOAD_TCP_CKSUM;
static const uint64_t RSS_IP_UDP_TCP = RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP;
static const uint64_t MBUF_RX_IP_CKSUM_MASK = RTE_MBUF_F_RX_IP_CKSUM_MASK;
static const uint64_t MBUF_RX_IP_CKSUM_GOOD = RTE_MBUF_F_RX_IP_CKSUM_GOOD;
static const uint64_t MBUF_RX_IP_CKSUM_BAD = RTE_MBUF_F_RX_IP_CKSUM_BAD;
static const uint64_t MBUF_RX_L4_CKSUM_MASK = RTE_MBUF_F_RX_L4_CKSUM_MASK;
static const uint64_t MBUF_RX_L4_CKSUM_GOOD = RTE_MBUF_F_RX_L4_CKSUM_GOOD;
static const uint64_t MBUF_RX_L4_CKSUM_BAD = RTE_MBUF_F_RX_L4_CKSUM_BAD;
static const uint16_t MBUF_HEADROOM = RTE_PKTMBUF_HEADROOM;

/* `rte_errno` is a macro over thread-local storage, which Rust cannot name. */
int millrace_errno(void);

/*
 * A pool of `count` mbufs with `room` octets each, as rte_pktmbuf_pool_create() makes it, but packed where there are no
 * hugepages: DPDK puts no object across a page border there, so each would begin a page of its own, and the same octets of
 * all packets would fall into one set of the core's first cache. NULL and rte_errno on failure.
 */
struct rte_mempool *millrace_pool_create(const char *name, unsigned count, unsigned cache, uint16_t room);

/* A stream whose octets go to `write`, to be given to rte_openlog_stream(); NULL when out of memory. */
FILE *millrace_log_stream(void (*write)(const char *octets, size_t len));
