// Vectors of floats as GCC and Clang lower them to any processor, and the few functions on rows that all kernels share.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#if defined(__AVX512F__)
constexpr int LANES = 16, WIDE = 4;  // floats per register; registers per row of a tile of `product`
#elif defined(__AVX__)
constexpr int LANES = 8, WIDE = 2;
#else
constexpr int LANES = 4, WIDE = 4;
#endif

template <int L, class T>
struct VectorOf {
    typedef T type __attribute__((vector_size(4 * L)));
};
template <class T>
struct VectorOf<1, T> {
    typedef T type;
};
template <int L, class T = float>
using Vector = typename VectorOf<L, T>::type;
using Floats = Vector<LANES>;

template <int L = LANES, class T>
inline Vector<L, T> load(const T* from) {
    Vector<L, T> value;
    std::memcpy(&value, from, sizeof value);
    return value;
}
template <int L = LANES>
inline void store(float* to, Vector<L> value) {
    std::memcpy(to, &value, sizeof value);
}

// e^x to 2 units in the last place; NaN stays NaN; below -87.3 the smallest normal number instead of zero.
template <int L = LANES>
inline Vector<L> exponential(Vector<L> x) {
    using Ints = decltype(x < x);
    const Vector<L> zero = {}, low = zero - 87.3f, high = zero + 88.3f;
    x = low > x ? low : x;
    x = high < x ? high : x;
    const Vector<L> shift = zero + 12582912.0f;  // 1.5 2^23: adding it rounds to a whole number
    const Vector<L> n = (x * 1.44269504f + shift) - shift;
    const Vector<L> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector<L> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    const Ints exponent = (__builtin_convertvector(n, Ints) + 127) << 23;
    return p * (Vector<L>)exponent;
}

// f(j, L) for j = 0 .. n - 1, L at a time: as many as a register holds, then eight; n is a multiple of eight.
template <class Function>
inline void by_vectors(long n, Function f) {
    long j = 0;
    for (; j + LANES <= n; j += LANES) f(j, std::integral_constant<int, LANES>());
    for (; j < n; j += 8) f(j, std::integral_constant<int, 8>());
}

inline float sum(Floats v) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += v[lane];
    return total;
}

inline float maximum(const float* x, long n) {
    Floats highest = Floats{} + x[0];
    long i = 0;
    for (; i + LANES <= n; i += LANES) {
        const Floats next = load(x + i);
        highest = next > highest ? next : highest;
    }
    float result = highest[0];
    for (int lane = 1; lane < LANES; lane++) result = std::max(result, float(highest[lane]));
    for (; i < n; i++) result = std::max(result, x[i]);
    return result;
}

inline float dot(const float* a, const float* b, long n) {
    Floats sums = {};
    long i = 0;
    for (; i + LANES <= n; i += LANES) sums += load(a + i) * load(b + i);
    float total = sum(sums);
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

inline long round_up(long n, long multiple) { return (n + multiple - 1) / multiple * multiple; }

// out[c][r] = in[r][c], by squares of four
inline void transpose(const float* in, long in_stride, float* out, long out_stride, long rows, long columns) {
    const long whole = columns / 4 * 4;
    long r = 0;
    for (; r + 4 <= rows; r += 4, in += 4 * in_stride) {
        for (long c = 0; c < whole; c += 4) {
            Vector<4> row[4];
            for (int i = 0; i < 4; i++) row[i] = load<4>(in + i * in_stride + c);
            for (int j = 0; j < 4; j++)
                store<4>(out + (c + j) * out_stride + r, Vector<4>{row[0][j], row[1][j], row[2][j], row[3][j]});
        }
        for (long c = whole; c < columns; c++)
            for (long i = 0; i < 4; i++) out[c * out_stride + r + i] = in[i * in_stride + c];
    }
    for (; r < rows; r++, in += in_stride)
        for (long c = 0; c < columns; c++) out[c * out_stride + r] = in[c];
}
