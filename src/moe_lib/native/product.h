// C = A B or C += A B in float32. A's elements are broadcast, so that it may lie in memory either way round; the rows
// of B and C are contiguous. A tile of C stays in registers while it is summed; the order of sums depends on the shape
// alone, so that the same input gives the same bits.
#pragma once
#include "vector.h"

struct Strided {  // a matrix of which element (r, k) lies at `at[r * row + k * column]`
    const float* at;
    long row, column;
    Strided from(long r, long k) const { return {at + r * row + k * column, row, column}; }
};
inline Strided rows(const float* at, long stride) { return {at, stride, 1}; }
inline Strided columns(const float* at, long stride) { return {at, 1, stride}; }  // the transpose of rows

template <int L, int R, int C>  // R rows by C vectors of L floats
inline void tile(Strided a, const float* b, long b_row, float* c, long c_row, long k, bool add) {
    using V = Vector<L>;
    V sums[R][C];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < C; j++) sums[r][j] = add ? load<L>(c + r * c_row + j * L) : V{};
    for (long p = 0; p < k; p++) {
        V right[C];
        for (int j = 0; j < C; j++) right[j] = load<L>(b + p * b_row + j * L);
        for (int r = 0; r < R; r++) {
            const float left = a.at[r * a.row + p * a.column];
            for (int j = 0; j < C; j++) sums[r][j] += left * right[j];
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < C; j++) store<L>(c + r * c_row + j * L, sums[r][j]);
}

template <int L, int R, int C>
inline void panel(Strided a, const float* b, long b_row, float* c, long c_row, long m, long k, bool add) {
    long r = 0;
    for (; r + R <= m; r += R) {
        if (a.column == 1)  // weights that few tokens read come from memory: ask for the next tile's rows early
            for (long next = r + R; next < std::min(r + 2 * R, m); next++)
                for (long p = 0; p < k; p += 16) __builtin_prefetch(a.at + next * a.row + p);
        tile<L, R, C>(a.from(r, 0), b, b_row, c + r * c_row, c_row, k, add);
    }
    if constexpr (R > 1)
        if (r < m) panel<L, R == 6 ? 4 : R / 2, C>(a.from(r, 0), b, b_row, c + r * c_row, c_row, m - r, k, add);
}

// C [m, n] = A [m, k] B [k, n], added to C where `add`
static void product(Strided a, const float* b, long b_row, float* c, long c_row, long m, long n, long k, bool add) {
    constexpr long DEPTH = 256;  // rows of B that a core's nearest caches hold
    for (long p = 0; p < k; p += DEPTH, b += DEPTH * b_row, a = a.from(0, DEPTH), add = true) {
        const long depth = std::min(DEPTH, k - p);
        long j = 0;
        for (; j + WIDE * LANES <= n; j += WIDE * LANES)
            panel<LANES, 6, WIDE>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j + 2 * LANES <= n; j += 2 * LANES) panel<LANES, 6, 2>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j + 24 <= n; j += 24) panel<8, 6, 3>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j + LANES <= n; j += LANES) panel<LANES, 12, 1>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j + 8 <= n; j += 8) panel<8, 12, 1>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j + 4 <= n; j += 4) panel<4, 6, 1>(a, b + j, b_row, c + j, c_row, m, depth, add);
        for (; j < n; j++) panel<1, 6, 1>(a, b + j, b_row, c + j, c_row, m, depth, add);
    }
}
