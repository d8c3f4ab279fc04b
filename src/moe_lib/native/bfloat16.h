// Numbers rounded to bfloat16, in pairs along a product's sum over k: the even k's in the lower half of a pair, the odd
// k's in the upper. Processors without a dot product of pairs multiply them as floats.
#pragma once
#include "vector.h"

#if defined(__AVX512BF16__) && defined(__AVX512VL__)
#include <immintrin.h>
#endif

using Pair = uint32_t;
constexpr Pair UPPER = 0xffff0000u;

template <class To, class From>
inline To bits_as(From from) {
    To to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}

// To the nearest, ties to even; the lower half has no meaning. NaN stays NaN.
inline Pair rounded(float x) {
    const Pair bits = bits_as<Pair>(x);
    return x == x ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
}

// out[j] = (even[j STEP], odd[j STEP]) for j < n; without `odd` its half is zero
template <long STEP>
inline void pack(const float* even, const float* odd, Pair* __restrict out, long n) {
    for (long j = 0; j < n; j++) {
        const Pair upper = odd ? rounded(odd[j * STEP]) & UPPER : 0;
        out[j] = rounded(even[j * STEP]) >> 16 | upper;
    }
}

template <int L>
inline Vector<L> multiply_add(Vector<L> sum, float left, Vector<L> right) {
    return sum + left * right;
}

template <int L>
inline Vector<L> multiply_add(Vector<L> sum, Pair left, Vector<L, Pair> right) {
#if defined(__AVX512BF16__) && defined(__AVX512VL__)
    if constexpr (L == 16) return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32(left), (__m512bh)right);
    if constexpr (L == 8) return _mm256_dpbf16_ps(sum, (__m256bh)_mm256_set1_epi32(left), (__m256bh)right);
    if constexpr (L == 4) return _mm_dpbf16_ps(sum, (__m128bh)_mm_set1_epi32(left), (__m128bh)right);
#endif
    sum += bits_as<float>(left & UPPER) * bits_as<Vector<L>>(right & UPPER);
    return sum + bits_as<float>(left << 16) * bits_as<Vector<L>>(right << 16);
}
