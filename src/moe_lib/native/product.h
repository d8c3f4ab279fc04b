// C = A B or C += A B in float32, of A and B as they are or rounded to bfloat16. A's elements are broadcast, so it may
// be stored in either order; the rows of B and C are contiguous. A tile of C stays in registers while it is summed; the
// order of sums depends on the shape alone, so the same input gives the same bits.
#pragma once
#include <vector>

#include "bfloat16.h"

template <class T = float>
struct Strided {  // a matrix with element (r, k) at `at[r * row + k * column]`
    const T* at;
    long row, column;
    Strided from(long r, long k) const { return {at + r * row + k * column, row, column}; }
};
template <class T>
inline Strided<T> rows(const T* at, long stride) {
    return {at, stride, 1};
}
template <class T>
inline Strided<T> columns(const T* at, long stride) {  // the transpose of rows
    return {at, 1, stride};
}

struct Ahead {  // memory that the next product reads: asked for a line at a time while this one computes
    const float *at = nullptr, *end = nullptr;
    void ask() {
        if (at < end) __builtin_prefetch(at, 0, 2), at += 16;
    }
};

template <int L, int R, int C, class T>  // R rows by C vectors of L floats
inline void tile(Strided<T> a, const T* b, long b_row, float* c, long c_row, long k, bool add, Ahead& next) {
    Ahead ahead = next;
    using V = Vector<L>;
    V sums[R][C];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < C; j++) sums[r][j] = add ? load<L>(c + r * c_row + j * L) : V{};
    for (long p = 0; p < k; p++) {
        ahead.ask();
        Vector<L, T> right[C];
        for (int j = 0; j < C; j++) right[j] = load<L>(b + p * b_row + j * L);
        for (int r = 0; r < R; r++) {
            const T left = a.at[r * a.row + p * a.column];
            for (int j = 0; j < C; j++) sums[r][j] = multiply_add<L>(sums[r][j], left, right[j]);
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < C; j++) store<L>(c + r * c_row + j * L, sums[r][j]);
    next = ahead;
}

template <int L, int R, int C, class T>
inline void panel(Strided<T> a, const T* b, long b_row, float* c, long c_row, long m, long k, bool add, Ahead& ahead) {
    long r = 0;
    for (; r + R <= m; r += R) {
        if (a.column == 1)  // weights that few tokens read come from memory: ask for the next tile's rows early
            for (long next = r + R; next < std::min(r + 2 * R, m); next++)
                for (long p = 0; p < k; p += 16) __builtin_prefetch(a.at + next * a.row + p);
        tile<L, R, C>(a.from(r, 0), b, b_row, c + r * c_row, c_row, k, add, ahead);
    }
    if constexpr (R > 1)
        if (r < m) panel<L, R == 6 ? 4 : R / 2, C>(a.from(r, 0), b, b_row, c + r * c_row, c_row, m - r, k, add, ahead);
}

template <class T>
static void panels(
    Strided<T> a, const T* b, long b_row, float* c, long c_row, long m, long n, long k, bool add, Ahead& ahead) {
    long j = 0;
    for (; j + WIDE * LANES <= n; j += WIDE * LANES)
        panel<LANES, 6, WIDE>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j + 2 * LANES <= n; j += 2 * LANES) panel<LANES, 6, 2>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j + 24 <= n; j += 24) panel<8, 6, 3>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j + LANES <= n; j += LANES) panel<LANES, 12, 1>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j + 8 <= n; j += 8) panel<8, 12, 1>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j + 4 <= n; j += 4) panel<4, 6, 1>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
    for (; j < n; j++) panel<1, 6, 1>(a, b + j, b_row, c + j, c_row, m, k, add, ahead);
}

// As `panels`, of A and B packed in pairs along k
static void rounded_panels(
    Strided<> a, const float* b, long b_row, float* c, long c_row, long m, long n, long k, bool add, Ahead& ahead) {
    static thread_local std::vector<Pair> a_pairs, b_pairs;
    const long pairs = (k + 1) / 2;
    const bool by_rows = a.column == 1;
    if (long(a_pairs.size()) < m * pairs) a_pairs.resize(m * pairs);
    if (long(b_pairs.size()) < n * pairs) b_pairs.resize(n * pairs);
    for (long r = 0; by_rows && r < m; r++) {
        const float* row = a.at + r * a.row;
        pack<2>(row, row + 1, &a_pairs[r * pairs], k / 2);
        if (k % 2) pack<2>(row + k - 1, nullptr, &a_pairs[r * pairs + k / 2], 1);
    }
    for (long p = 0; p < pairs; p++) {
        const bool odd = 2 * p + 1 < k;
        const float *b_even = b + 2 * p * b_row, *a_even = a.at + 2 * p * a.column;
        pack<1>(b_even, odd ? b_even + b_row : nullptr, &b_pairs[p * n], n);
        if (!by_rows) pack<1>(a_even, odd ? a_even + a.column : nullptr, &a_pairs[p * m], m);
    }
    const Strided<Pair> packed = by_rows ? rows<Pair>(a_pairs.data(), pairs) : columns<Pair>(a_pairs.data(), m);
    panels(packed, b_pairs.data(), n, c, c_row, m, n, pairs, add, ahead);
}

// C [m, n] = A [m, k] B [k, n]; `add` adds it to C, `rounded` rounds A and B to bfloat16 first, and `ahead` is what the
// next product will read
static void product(
    Strided<> a, const float* b, long b_row, float* c, long c_row, long m, long n, long k, bool add,
    bool rounded = false, Ahead ahead = {}) {
    constexpr long DEPTH = 256;  // rows of B that a core's nearest caches hold
    const auto multiply = rounded ? rounded_panels : panels<float>;
    for (long p = 0; p < k; p += DEPTH, b += DEPTH * b_row, a = a.from(0, DEPTH), add = true)
        multiply(a, b, b_row, c, c_row, m, n, std::min(DEPTH, k - p), add, ahead);
}
