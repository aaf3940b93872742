/* The few lines that must be C: thread-local errno, a log stream that ends in a callback, and packed pools. */
#include "wrapper.h"

int millrace_errno(void) { return rte_errno; }

static ssize_t hand_on(void *cookie, const char *octets, size_t len) {
  ((void (*)(const char *, size_t))cookie)(octets, len);
  return (ssize_t)len;
}

FILE *millrace_log_stream(void (*write)(const char *octets, size_t len)) {
  cookie_io_functions_t functions = {.write = hand_on};
  FILE *stream = fopencookie((void *)write, "w", functions);
  if (stream != NULL) setvbuf(stream, NULL, _IOLBF, BUFSIZ);
  return stream;
}

/* Pages of their own are not contiguous for a device, but their addresses are where those are the device's as well. */
static void place(struct rte_mempool *pool, void *unused, void *object, unsigned number) {
  (void)pool, (void)unused, (void)number;
  rte_mempool_get_header(object)->iova = (rte_iova_t)(uintptr_t)object;
}

struct rte_mempool *millrace_pool_create(const char *name, unsigned count, unsigned cache, uint16_t room) {
  if (rte_eal_has_hugepages() || rte_eal_iova_mode() != RTE_IOVA_VA)
    return rte_pktmbuf_pool_create(name, count, cache, 0, room, SOCKET_ID_ANY);
  struct rte_pktmbuf_pool_private own = {.mbuf_data_room_size = room};
  struct rte_mempool *pool = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + room, cache, sizeof own,
                                                      SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);
  if (pool == NULL) return NULL;
  int status = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
  if (status == 0) {
    rte_pktmbuf_pool_init(pool, &own);
    status = rte_mempool_populate_default(pool);
  }
  if (status < 0) {
    rte_mempool_free(pool);
    rte_errno = -status;
    return NULL;
  }
  rte_mempool_obj_iter(pool, place, NULL);
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
  return pool;
}
