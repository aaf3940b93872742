/* Intel's multi-buffer library, called in its three ways. A call returns how many packets were right. */
#include "peer.h"
#include <intel-ipsec-mb.h>
#include <string.h>

enum way { JOB, BURST, DIRECT };

static int equal(const uint8_t *one, const uint8_t *other) {
    uint8_t difference = 0;
    for (int i = 0; i < TAG_LEN; i++)
        difference |= one[i] ^ other[i];
    return difference == 0;
}

/* With `avx2` the manager uses no AVX-512. */
IMB_MGR *peer_ipsec_mb_new(int avx2) {
    IMB_MGR *manager = alloc_mb_mgr(0);
    if (manager == NULL)
        return NULL;
    if (avx2) {
        init_mb_mgr_avx2(manager);
    } else {
        IMB_ARCH arch;
        init_mb_mgr_auto(manager, &arch);
    }
    return manager;
}

void peer_ipsec_mb_free(IMB_MGR *manager) { free_mb_mgr(manager); }

static void nonce_of(uint8_t nonce[NONCE_LEN], uint64_t counter) {
    memset(nonce, 0, 4);
    memcpy(nonce + 4, &counter, 8);
}

static void fill(IMB_JOB *job, const struct packet *packet, const uint8_t *nonce, uint8_t *tag, int seal) {
    job->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job->hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job->cipher_direction = seal ? IMB_DIR_ENCRYPT : IMB_DIR_DECRYPT;
    job->chain_order = seal ? IMB_ORDER_CIPHER_HASH : IMB_ORDER_HASH_CIPHER;
    job->enc_keys = packet->key;
    job->dec_keys = packet->key;
    job->key_len_in_bytes = 32;
    job->iv = nonce;
    job->iv_len_in_bytes = NONCE_LEN;
    job->src = packet->text;
    job->dst = packet->text;
    job->cipher_start_src_offset_in_bytes = 0;
    job->msg_len_to_cipher_in_bytes = packet->len;
    job->hash_start_src_offset_in_bytes = 0;
    job->msg_len_to_hash_in_bytes = packet->len;
    job->u.CHACHA20_POLY1305.aad = nonce;
    job->u.CHACHA20_POLY1305.aad_len_in_bytes = 0;
    job->auth_tag_output = tag;
    job->auth_tag_output_len_in_bytes = TAG_LEN;
}

static unsigned by_job(IMB_MGR *manager, const struct packet *packets, unsigned count, int seal) {
    uint8_t nonces[BATCH_LEN_MAX][NONCE_LEN], tags[BATCH_LEN_MAX][TAG_LEN];
    unsigned right = 0;
    for (unsigned i = 0; i < count; i++) {
        IMB_JOB *job = IMB_GET_NEXT_JOB(manager);
        nonce_of(nonces[i], packets[i].counter);
        fill(job, &packets[i], nonces[i], seal ? packets[i].text + packets[i].len : tags[i], seal);
        if (IMB_SUBMIT_JOB_NOCHECK(manager) == NULL)
            while (IMB_FLUSH_JOB(manager) != NULL)
                ;
    }
    for (unsigned i = 0; i < count; i++)
        right += seal || equal(tags[i], packets[i].text + packets[i].len);
    return right;
}

static unsigned by_burst(IMB_MGR *manager, const struct packet *packets, unsigned count, int seal) {
    uint8_t nonces[BATCH_LEN_MAX][NONCE_LEN], tags[BATCH_LEN_MAX][TAG_LEN];
    IMB_JOB *jobs[BATCH_LEN_MAX];
    unsigned right = 0;
    if (IMB_GET_NEXT_BURST(manager, count, jobs) < count)
        return 0;
    for (unsigned i = 0; i < count; i++) {
        nonce_of(nonces[i], packets[i].counter);
        fill(jobs[i], &packets[i], nonces[i], seal ? packets[i].text + packets[i].len : tags[i], seal);
    }
    if (IMB_SUBMIT_BURST_NOCHECK(manager, count, jobs) < count)
        return 0;
    for (unsigned i = 0; i < count; i++)
        right += seal || equal(tags[i], packets[i].text + packets[i].len);
    return right;
}

static unsigned by_direct(IMB_MGR *manager, const struct packet *packets, unsigned count, int seal) {
    struct chacha20_poly1305_context_data context;
    uint8_t nonce[NONCE_LEN], tag[TAG_LEN];
    unsigned right = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct packet *packet = &packets[i];
        nonce_of(nonce, packet->counter);
        IMB_CHACHA20_POLY1305_INIT(manager, packet->key, &context, nonce, nonce, 0);
        if (seal) {
            IMB_CHACHA20_POLY1305_ENC_UPDATE(manager, packet->key, &context, packet->text, packet->text, packet->len);
            IMB_CHACHA20_POLY1305_ENC_FINALIZE(manager, &context, packet->text + packet->len, TAG_LEN);
            right++;
        } else {
            IMB_CHACHA20_POLY1305_DEC_UPDATE(manager, packet->key, &context, packet->text, packet->text, packet->len);
            IMB_CHACHA20_POLY1305_DEC_FINALIZE(manager, &context, tag, TAG_LEN);
            right += equal(tag, packet->text + packet->len);
        }
    }
    return right;
}

unsigned peer_ipsec_mb(IMB_MGR *manager, int way, const struct packet *packets, unsigned count, int seal) {
    switch (way) {
    case JOB: return by_job(manager, packets, count, seal);
    case BURST: return by_burst(manager, packets, count, seal);
    default: return by_direct(manager, packets, count, seal);
    }
}
