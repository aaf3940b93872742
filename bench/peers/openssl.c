/* OpenSSL through EVP: one context for each direction, key and nonce set anew for each packet. */
#include "peer.h"
#include <openssl/evp.h>
#include <string.h>

EVP_CIPHER_CTX *peer_openssl_new(int seal) {
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    if (context == NULL || EVP_CipherInit_ex(context, EVP_chacha20_poly1305(), NULL, NULL, NULL, seal) != 1) {
        EVP_CIPHER_CTX_free(context);
        return NULL;
    }
    return context;
}

void peer_openssl_free(EVP_CIPHER_CTX *context) { EVP_CIPHER_CTX_free(context); }

/* How many packets were right. */
unsigned peer_openssl(EVP_CIPHER_CTX *context, const struct packet *packets, unsigned count, int seal) {
    unsigned right = 0;
    for (unsigned i = 0; i < count; i++) {
        const struct packet *packet = &packets[i];
        uint8_t nonce[NONCE_LEN] = {0};
        int len;
        memcpy(nonce + 4, &packet->counter, 8);
        if (EVP_CipherInit_ex(context, NULL, NULL, packet->key, nonce, seal) != 1)
            continue;
        if (!seal && EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_LEN, packet->text + packet->len) != 1)
            continue;
        if (packet->len > 0 && EVP_CipherUpdate(context, packet->text, &len, packet->text, (int)packet->len) != 1)
            continue;
        if (EVP_CipherFinal_ex(context, packet->text + packet->len, &len) != 1)
            continue;
        right += !seal || EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_LEN, packet->text + packet->len) == 1;
    }
    return right;
}
