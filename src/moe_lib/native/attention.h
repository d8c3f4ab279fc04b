// Causal attention with QK-norm and rotary positions, from the fused projection qkv [B, T, 3 H W] to [B, T, H W].
// A block of queries meets only the keys before its end; nothing of size T x T is kept for the backward pass.
#pragma once
#include <vector>

#include "norm.h"
#include "product.h"

constexpr long QUERIES = 32;  // queries of a block

struct Shape {  // B sequences of T positions, H heads of width W
    long batch, length, heads, width;
    long d() const { return heads * width; }
    long padded() const { return round_up(length, 16); }
};

struct Inputs {
    const float *qkv, *q_weight, *k_weight;  // [B, T, 3 H W]; [H W] each, or null without QK-norm
    const float *cos, *sin;                  // [T, W]
    float epsilon;
};

// One sequence's inverse RMS of queries and keys, and the current head, rotated; in both layouts if both are read.
struct Head {
    std::vector<float> q_scale, k_scale, q, k, v, k_columns, v_columns;  // [T] [T] [T, W] x 3, [W, T padded] x 2

    explicit Head(const Shape& s)
        : q_scale(s.length, 1.0f), k_scale(s.length, 1.0f), q(s.length * s.width), k(q), v(q),
          k_columns(s.width * s.padded()), v_columns(k_columns) {}

    void scales(const Inputs& in, const Shape& s, const float* qkv) {
        if (!in.q_weight) return;
        for (long t = 0; t < s.length; t++, qkv += 3 * s.d()) {
            q_scale[t] = inverse_rms(qkv, s.d(), in.epsilon);
            k_scale[t] = inverse_rms(qkv + s.d(), s.d(), in.epsilon);
        }
    }

    void load(const Inputs& in, const Shape& s, const float* qkv, long head) {
        const float to_scores = 1 / std::sqrt(float(s.width));
        const float* q_weight = in.q_weight ? in.q_weight + head * s.width : nullptr;
        const float* k_weight = in.k_weight ? in.k_weight + head * s.width : nullptr;
        qkv += head * s.width;
        for (long t = 0; t < s.length; t++, qkv += 3 * s.d()) {
            const long at = t * s.width;
            rotate(qkv, q_weight, q_scale[t] * to_scores, in.cos + at, in.sin + at, &q[at], s.width);
            rotate(qkv + s.d(), k_weight, k_scale[t], in.cos + at, in.sin + at, &k[at], s.width);
            std::copy_n(qkv + 2 * s.d(), s.width, &v[at]);
        }
        transpose(k.data(), s.width, k_columns.data(), s.padded(), s.length, s.width);
    }

    static void rotate(
        const float* x, const float* w, float scale, const float* cos, const float* sin, float* __restrict y, long width) {
        const long half = width / 2;
        for (long j = 0; j < half; j++) {
            const float first = x[j] * scale * (w ? w[j] : 1), second = x[half + j] * scale * (w ? w[half + j] : 1);
            y[j] = first * cos[j] - second * sin[j];
            y[half + j] = second * cos[half + j] + first * sin[half + j];
        }
    }
};

inline void rotate_backward(
    const float* dy, const float* cos, const float* sin, float scale, float* __restrict dx, long width) {
    const long half = width / 2;
    for (long j = 0; j < half; j++) {
        dx[j] = scale * (dy[j] * cos[j] + dy[half + j] * sin[half + j]);
        dx[half + j] = scale * (dy[half + j] * cos[half + j] - dy[j] * sin[j]);
    }
}

// exp(scores - offset) of a row's first n entries, zero up to `padded`; the sum
inline float exponentials(float* row, float offset, long n, long padded) {
    Floats sums = {};
    std::fill(row + n, row + padded, -std::numeric_limits<float>::infinity());
    for (long j = 0; j < n; j += LANES) {
        const Floats p = exponential(::load(row + j) - offset);
        store(row + j, p);
        sums += p;
    }
    std::fill(row + n, row + padded, 0.0f);
    return sum(sums);
}

extern "C" void attention(
    const float* qkv, const float* q_weight, const float* k_weight, const float* cos, const float* sin, float epsilon,
    long batch, long length, long heads, long width, float* out, float* log_partition) {
    const Inputs in{qkv, q_weight, k_weight, cos, sin, epsilon};
    const Shape s{batch, length, heads, width};
    Head head(s);
    std::vector<float> scores(QUERIES * s.padded());
    for (long b = 0; b < batch; b++, qkv += length * 3 * s.d()) {
        head.scales(in, s, qkv);
        for (long h = 0; h < heads; h++) {
            head.load(in, s, qkv, h);
            float* log_partitions = log_partition + (b * heads + h) * length;
            for (long first = 0; first < length; first += QUERIES) {
                const long last = std::min(first + QUERIES, length), keys = round_up(last, 16);
                product(rows(&head.q[first * width], width), head.k_columns.data(), s.padded(), scores.data(), keys,
                        last - first, keys, width, false);
                for (long t = first; t < last; t++) {
                    float* row = &scores[(t - first) * keys];
                    const float highest = maximum(row, t + 1);
                    const float total = exponentials(row, highest, t + 1, keys), share = 1 / total;
                    for (long j = 0; j <= t; j++) row[j] *= share;
                    log_partitions[t] = highest + std::log(total);
                }
                product(rows(scores.data(), keys), head.v.data(), width, out + (b * length + first) * s.d() + h * width,
                        s.d(), last - first, width, last, false);
            }
        }
    }
}

extern "C" void attention_backward(
    const float* qkv, const float* q_weight, const float* k_weight, const float* cos, const float* sin, float epsilon,
    long batch, long length, long heads, long width, const float* out, const float* log_partition, const float* dout,
    float* dqkv, float* dq_weight, float* dk_weight) {
    const Inputs in{qkv, q_weight, k_weight, cos, sin, epsilon};
    const Shape s{batch, length, heads, width};
    const long d = s.d();
    Head head(s);
    std::vector<float> p(QUERIES * s.padded()), ds(p), dq(QUERIES * width), dk(length * width), dv(dk);
    if (q_weight) std::fill_n(dq_weight, d, 0.0f), std::fill_n(dk_weight, d, 0.0f);
    for (long b = 0; b < batch; b++, qkv += length * 3 * d, dqkv += length * 3 * d) {
        head.scales(in, s, qkv);
        for (long h = 0; h < heads; h++) {
            head.load(in, s, qkv, h);
            transpose(head.v.data(), width, head.v_columns.data(), s.padded(), length, width);
            std::fill(dk.begin(), dk.end(), 0.0f), std::fill(dv.begin(), dv.end(), 0.0f);
            const float* log_partitions = log_partition + (b * heads + h) * length;
            for (long first = 0; first < length; first += QUERIES) {
                const long last = std::min(first + QUERIES, length), n = last - first, keys = round_up(last, 16);
                const float* dout_block = dout + (b * length + first) * d + h * width;
                product(rows(&head.q[first * width], width), head.k_columns.data(), s.padded(), p.data(), keys, n, keys,
                        width, false);
                product(rows(dout_block, d), head.v_columns.data(), s.padded(), ds.data(), keys, n, keys, width, false);
                for (long t = first; t < last; t++) {
                    float *p_row = &p[(t - first) * keys], *ds_row = &ds[(t - first) * keys];
                    const long at = (b * length + t) * d + h * width;
                    const float mean = dot(dout + at, out + at, width);
                    exponentials(p_row, log_partitions[t], t + 1, keys);
                    for (long j = 0; j < keys; j++) ds_row[j] = p_row[j] * (ds_row[j] - mean);
                }
                product(rows(ds.data(), keys), head.k.data(), width, dq.data(), width, n, width, last, false);
                product(columns(ds.data(), keys), &head.q[first * width], width, dk.data(), width, last, width, n, true);
                product(columns(p.data(), keys), dout_block, d, dv.data(), width, last, width, n, true);
                for (long t = first; t < last; t++)
                    rotate_backward(&dq[(t - first) * width], cos + t * width, sin + t * width,
                                    1 / std::sqrt(float(width)), dqkv + t * 3 * d + h * width, width);
            }
            for (long t = 0; t < length; t++) {
                float* to = dqkv + t * 3 * d + d + h * width;
                rotate_backward(&dk[t * width], cos + t * width, sin + t * width, 1, to, width);
                std::copy_n(&dv[t * width], width, to + d);
            }
        }
        if (!q_weight) continue;
        for (long t = 0; t < length; t++) {
            const float* x = qkv + t * 3 * d;
            float* dx = dqkv + t * 3 * d;
            norm_row_backward(dx, x, q_weight, head.q_scale[t], dx, dq_weight, d);
            norm_row_backward(dx + d, x + d, k_weight, head.k_scale[t], dx + d, dk_weight, d);
        }
    }
}
