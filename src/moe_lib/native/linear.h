// A linear map, and the loss of the next token behind the unembedding, both with weights [rows, d] and tokens [n, d].
#pragma once
#include <vector>

#include "product.h"

extern "C" void linear(const float* x, const float* w, long n, long d, long n_rows, long rounded, float* y) {
    std::vector<float> w_columns(d * n_rows);
    transpose(w, d, w_columns.data(), n_rows, n_rows, d);
    product(rows(x, d), w_columns.data(), n_rows, y, n_rows, n, n_rows, d, false, rounded);
}

extern "C" void linear_backward(
    const float* x, const float* w, const float* dy, long n, long d, long n_rows, long rounded, float* dx,
    float* dw) {
    product(rows(dy, n_rows), w, d, dx, d, n, d, n_rows, false, rounded);
    product(columns(dy, n_rows), x, d, dw, d, n_rows, d, n, false, rounded);
}

constexpr long CHUNK = 64;   // tokens whose logits are adjacent
constexpr long WORDS = 128;  // rows of the vocabulary whose logits for a chunk stay in the nearest cache

// A register's tokens: their highest logit so far, and the sum of exp(logit - highest), after `n` more logits.
inline void add_exponentials(const float* logits, long n, float* highest, float* total) {
    const Floats before = load(highest);
    Floats now = before, sums = {};
    for (long v = 0; v < n; v++) {
        const Floats logit = load(logits + v * CHUNK);
        now = logit > now ? logit : now;
    }
    for (long v = 0; v < n; v++) sums += exponential(load(logits + v * CHUNK) - now);
    store(total, load(total) * exponential(before - now) + sums);
    store(highest, now);
}

// Floats of `logits`, which keeps [vocabulary, CHUNK] per chunk, or only one chunk if `kept` is 0.
extern "C" long logit_buffer(long n, long vocabulary, long kept) {
    return vocabulary * (kept ? round_up(n, CHUNK) : CHUNK);
}

// nll [n] = log sum_v exp(w_v x) - w_target x, in nats
extern "C" void next_token_nll(
    const float* x, const float* w, const int64_t* target, long n, long d, long vocabulary, long rounded, long kept,
    float* nll, float* log_partition, float* logits) {
    std::vector<float> x_columns(d * CHUNK);
    for (long first = 0; first < n; first += CHUNK, logits += kept ? vocabulary * CHUNK : 0) {
        const long tokens = std::min(CHUNK, n - first);
        std::fill(x_columns.begin(), x_columns.end(), 0.0f);
        transpose(x + first * d, d, x_columns.data(), CHUNK, tokens, d);
        float highest[CHUNK], total[CHUNK] = {};
        std::fill_n(highest, CHUNK, -std::numeric_limits<float>::max());
        for (long v = 0; v < vocabulary; v += WORDS) {
            const long words = std::min(WORDS, vocabulary - v);
            float* part = logits + v * CHUNK;
            product(rows(w + v * d, d), x_columns.data(), CHUNK, part, CHUNK, words, CHUNK, d, false, rounded);
            for (long i = 0; i < CHUNK; i += LANES) add_exponentials(part + i, words, highest + i, total + i);
        }
        for (long i = 0; i < tokens; i++) {
            log_partition[first + i] = highest[i] + std::log(total[i]);
            nll[first + i] = log_partition[first + i] - logits[target[first + i] * CHUNK + i];
        }
    }
}

extern "C" void next_token_nll_backward(
    const float* x, const float* w, const int64_t* target, const float* logits, const float* log_partition,
    const float* dnll, long n, long d, long vocabulary, long rounded, float* dx, float* dw) {
    std::vector<float> dlogits(WORDS * CHUNK);
    for (long first = 0; first < n; first += CHUNK, logits += vocabulary * CHUNK) {
        const long tokens = std::min(CHUNK, n - first);
        float offset[CHUNK] = {}, scale[CHUNK] = {};
        std::copy_n(log_partition + first, tokens, offset);
        std::copy_n(dnll + first, tokens, scale);
        for (long v = 0; v < vocabulary; v += WORDS) {
            const long words = std::min(WORDS, vocabulary - v);
            for (long at = 0; at < words * CHUNK; at += LANES) {
                const long i = at % CHUNK;
                const Floats p = exponential(load(logits + v * CHUNK + at) - load(offset + i));
                store(&dlogits[at], load(scale + i) * p);
            }
            for (long i = 0; i < tokens; i++) {
                const long word = target[first + i] - v;
                if (0 <= word && word < words) dlogits[word * CHUNK + i] -= scale[i];
            }
            product(columns(dlogits.data(), CHUNK), w + v * d, d, dx + first * d, d, tokens, d, words, v > 0, rounded);
            product(rows(dlogits.data(), CHUNK), x + first * d, d, dw + v * d, d, words, d, tokens, first > 0,
                    rounded);
        }
    }
}
