// Routing, and the experts' GLUs on their tokens. Hidden values are stored by feature with adjacent tokens, so no weight
// has to be transposed and a block of tokens stays in the cache throughout.
#pragma once
#include <vector>

#include "memory.h"
#include "product.h"

constexpr long TOKENS = 64;  // tokens of a block
constexpr long PADDED = 8;   // lanes of a block are a multiple of this

// By token: probabilities, the K best experts (the first of equals), log-partition. By expert: assignments and mean
// probability. Over all: the mean entropy.
extern "C" void route(
    const float* logits, long n, long n_experts, long n_active, float* probability, int64_t* expert, float* gate,
    float* log_partition, int64_t* load, float* mean_probability, float* entropy) {
    std::fill_n(load, n_experts, 0);
    std::vector<double> probabilities(n_experts);
    double entropies = 0;
    for (long t = 0; t < n; t++, logits += n_experts, probability += n_experts) {
        const float highest = *std::max_element(logits, logits + n_experts);
        float total = 0, weighted = 0;
        for (long e = 0; e < n_experts; e++) {
            probability[e] = std::exp(logits[e] - highest);
            total += probability[e];
            weighted += probability[e] * (logits[e] - highest);
        }
        for (long e = 0; e < n_experts; e++) {
            probability[e] /= total;
            probabilities[e] += probability[e];
        }
        log_partition[t] = highest + std::log(total);
        entropies += std::log(total) - weighted / total;
        for (long k = 0; k < n_active; k++) {
            int64_t* chosen = expert + t * n_active;
            long best = -1;
            for (long e = 0; e < n_experts; e++)
                if ((best < 0 || probability[e] > probability[best]) && std::find(chosen, chosen + k, e) == chosen + k)
                    best = e;
            chosen[k] = best;
            gate[t * n_active + k] = probability[best];
            load[best]++;
        }
    }
    for (long e = 0; e < n_experts; e++) mean_probability[e] = probabilities[e] / n;
    *entropy = entropies / n;
}

// dlogits from the gradients of gates, log-partitions and mean probabilities.
extern "C" void route_backward(
    const float* probability, const int64_t* expert, const float* dgate, const float* dlog_partition,
    const float* dmean_probability, long n, long n_experts, long n_active, float* dlogits) {
    std::vector<float> dp(n_experts);
    for (long t = 0; t < n; t++, probability += n_experts, dlogits += n_experts) {
        for (long e = 0; e < n_experts; e++) dp[e] = dmean_probability[e] / n;
        for (long k = t * n_active; k < (t + 1) * n_active; k++) dp[expert[k]] += dgate[k];
        const float offset = dot(probability, dp.data(), n_experts) - dlog_partition[t];
        for (long e = 0; e < n_experts; e++) dlogits[e] = probability[e] * (dp[e] - offset);
    }
}

struct Block {  // up to 64 assignments of one expert
    long expert, n, lanes;
    const int64_t* assignment;  // [n], into the flattened [N, K]
    long saved;                 // lanes of all blocks before it
    bool first;                 // of its expert
    long next;                  // expert of the block after it
};

struct Dispatch {
    std::vector<int64_t> order, end;
    std::vector<Block> blocks;

    Dispatch(const int64_t* expert, long n_assignments, long n_experts) : order(n_assignments), end(n_experts + 1) {
        for (long a = 0; a < n_assignments; a++) end[expert[a] + 1]++;
        for (long e = 0; e < n_experts; e++) end[e + 1] += end[e];
        std::vector<int64_t> next(end.begin(), end.end() - 1);
        for (long a = 0; a < n_assignments; a++) order[next[expert[a]]++] = a;
        long saved = 0;
        for (long e = 0; e < n_experts; e++)
            for (long first = end[e]; first < end[e + 1]; first += TOKENS) {
                const long n = std::min<long>(TOKENS, end[e + 1] - first), lanes = round_up(n, PADDED);
                blocks.push_back({e, n, lanes, &order[first], saved, first == end[e], e});
                saved += lanes;
            }
        for (size_t i = 1; i < blocks.size(); i++) blocks[i - 1].next = blocks[i].expert;
    }
};

inline void gather(const float* x, const Block& block, long n_active, long d, float* rows_out) {
    for (long i = 0; i < block.n; i++) std::copy_n(x + block.assignment[i] / n_active * d, d, rows_out + i * d);
}

inline void scatter_add(const float* in, const Block& block, long n_active, long d, float* y) {
    for (long i = 0; i < block.n; i++, in += d) {
        float* to = y + block.assignment[i] / n_active * d;
        for (long j = 0; j < d; j++) to[j] += in[j];
    }
}

// h = silu(a) * b
inline void glu(const float* a, const float* b, float* h, long n) {
    by_vectors(n, [&](long j, auto lanes) {
        constexpr int L = decltype(lanes)::value;
        const auto x = load<L>(a + j);
        store<L>(h + j, x / (1 + exponential<L>(-x)) * load<L>(b + j));
    });
}

// Floats of `hidden`, which keeps w1 x and v1 x, both [f, lanes] per block; if `kept` is 0 it has one block only.
extern "C" long expert_buffer(long n_assignments, long n_experts, long f, long kept) {
    return 2 * f * (kept ? n_assignments + PADDED * n_experts : TOKENS);
}

// y [N, d] = sum over a token's experts of gate (silu(w1 x) * (v1 x)) w2, with w1, v1, w2 [E, f, d]
extern "C" void experts(
    const float* x, const int64_t* expert, const float* gate, const float* w1, const float* v1, const float* w2, long n,
    long d, long f, long n_experts, long n_active, long rounded, long kept, float* y, float* hidden) {
    const Dispatch dispatch(expert, n * n_active, n_experts);
    std::vector<float> rows_in(TOKENS * d), x_columns(TOKENS * d), h(TOKENS * f);
    std::fill_n(y, n * d, 0.0f);
    const auto ahead = [&](const float* w, long e) { return Ahead{w + e * f * d, w + (e + 1) * f * d}; };
    for (const Block& block : dispatch.blocks) {
        const long e = block.expert, lanes = block.lanes, weights = e * f * d;
        float *a = hidden + (kept ? 2 * f * block.saved : 0), *b = a + f * lanes;
        gather(x, block, n_active, d, rows_in.data());
        std::fill(x_columns.begin(), x_columns.end(), 0.0f);
        transpose(rows_in.data(), d, x_columns.data(), lanes, block.n, d);
        product(rows(w1 + weights, d), x_columns.data(), lanes, a, lanes, f, lanes, d, false, rounded, ahead(v1, e));
        product(rows(v1 + weights, d), x_columns.data(), lanes, b, lanes, f, lanes, d, false, rounded, ahead(w2, e));
        glu(a, b, h.data(), f * lanes);
        for (long j = 0; rounded && j < f * lanes; j += lanes)  // what is rounded forwards is rounded backwards
            for (long i = 0; i < block.n; i++) h[j + i] *= gate[block.assignment[i]];
        product(columns(h.data(), lanes), w2 + weights, d, rows_in.data(), d, block.n, d, f, false, rounded,
                ahead(w1, block.next));
        for (long i = 0; !rounded && i < block.n; i++) {
            const float weight = gate[block.assignment[i]];
            for (long j = 0; j < d; j++) rows_in[i * d + j] *= weight;
        }
        scatter_add(rows_in.data(), block, n_active, d, y);
    }
}

// One row of the GLU backwards, from dh, the gradient of h before the gate: da, db, h times the gate; adds to dgate.
inline void glu_backward(
    const float* a, const float* b, const float* gate, const float* dh, float* da, float* db, float* h, float* dgate,
    long n) {
    by_vectors(n, [&](long j, auto lanes) {
        constexpr int L = decltype(lanes)::value;
        const auto x = load<L>(a + j), y = load<L>(b + j), g = load<L>(gate + j), dz = load<L>(dh + j);
        const auto sigmoid = 1 / (1 + exponential<L>(-x)), silu = x * sigmoid;
        store<L>(dgate + j, load<L>(dgate + j) + silu * y * dz);
        store<L>(da + j, g * dz * y * (sigmoid + silu * (1 - sigmoid)));
        store<L>(db + j, g * dz * silu);
        store<L>(h + j, g * silu * y);
    });
}

extern "C" void experts_backward(
    const float* x, const int64_t* expert, const float* gate, const float* w1, const float* v1, const float* w2,
    const float* hidden, const float* dy, long n, long d, long f, long n_experts, long n_active, long rounded,
    float* dx, float* dgate, float* dw1, float* dv1, float* dw2) {
    const Dispatch dispatch(expert, n * n_active, n_experts);
    std::vector<float> x_rows(TOKENS * d), dy_rows(x_rows), dy_columns(x_rows), dx_rows(x_rows);
    std::vector<float> dh(TOKENS * f), da(dh), db(dh), h(dh), gates(TOKENS), dgates(TOKENS);
    std::fill_n(dx, n * d, 0.0f);
    for (float* dw : {dw1, dv1, dw2}) huge_pages(dw, n_experts * f * d);
    for (long e = 0; e < n_experts; e++)
        if (dispatch.end[e] == dispatch.end[e + 1])
            for (float* dw : {dw1, dv1, dw2}) std::fill_n(dw + e * f * d, f * d, 0.0f);
    const auto ahead = [&](const float* w, long e) { return Ahead{w + e * f * d, w + (e + 1) * f * d}; };
    for (const Block& block : dispatch.blocks) {
        const long e = block.expert, lanes = block.lanes, weights = e * f * d;
        const float *a = hidden + 2 * f * block.saved, *b = a + f * lanes;
        gather(x, block, n_active, d, x_rows.data());
        gather(dy, block, n_active, d, dy_rows.data());
        std::fill(dy_columns.begin(), dy_columns.end(), 0.0f);
        transpose(dy_rows.data(), d, dy_columns.data(), lanes, block.n, d);
        product(rows(w2 + weights, d), dy_columns.data(), lanes, dh.data(), lanes, f, lanes, d, false, rounded);
        std::fill(gates.begin(), gates.end(), 0.0f), std::fill(dgates.begin(), dgates.end(), 0.0f);
        for (long i = 0; i < block.n; i++) gates[i] = gate[block.assignment[i]];
        for (long j = 0; j < f * lanes; j += lanes)
            glu_backward(a + j, b + j, gates.data(), &dh[j], &da[j], &db[j], &h[j], dgates.data(), lanes);
        for (long i = 0; i < block.n; i++) dgate[block.assignment[i]] = dgates[i];
        const bool add = !block.first;
        product(rows(da.data(), lanes), x_rows.data(), d, dw1 + weights, d, f, d, block.n, add, rounded);
        product(rows(db.data(), lanes), x_rows.data(), d, dv1 + weights, d, f, d, block.n, add, rounded);
        product(rows(h.data(), lanes), dy_rows.data(), d, dw2 + weights, d, f, d, block.n, add, rounded,
                ahead(w1, e));
        product(columns(da.data(), lanes), w1 + weights, d, dx_rows.data(), d, block.n, d, f, false, rounded,
                ahead(v1, e));
        product(columns(db.data(), lanes), v1 + weights, d, dx_rows.data(), d, block.n, d, f, true, rounded,
                ahead(w2, block.next));
        scatter_add(dx_rows.data(), block, n_active, d, dx);
    }
}
