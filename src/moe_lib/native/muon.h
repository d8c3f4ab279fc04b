// Muon's orthogonalisation: Newton-Schulz steps on square matrices, each of which stays in the cache for all its steps.
#pragma once
#include <vector>

#include "product.h"

// C [d, d] = A B, which is known to be symmetric: the blocks on and below the diagonal, and their mirror image
static void symmetric_product(const float* a, const float* b, float* c, long d) {
    constexpr long ROWS = 24;
    for (long r = 0; r < d; r += ROWS) {
        const long n = std::min(ROWS, d - r);
        product(rows(a + r * d, d), b, d, c + r * d, d, n, r + n, d, false);
        transpose(c + r * d, d, c + r, d, n, r);
    }
}

// Each of n matrices x [d, d], over its norm, becomes a x + (b g + c g g) x with g = x x', as often as `steps` says.
extern "C" void orthogonalize(float* x, long n, long d, long steps, float a, float b, float c) {
    const long size = d * d;
    std::vector<float> gram(size), square(size), next(size);
    for (; n > 0; n--, x += size) {
        const float scale = 1 / std::max(std::sqrt(dot(x, x, size)), 1e-7f);
        for (long i = 0; i < size; i++) x[i] *= scale;
        for (long step = 0; step < steps; step++) {
            transpose(x, d, next.data(), d, d, d);
            symmetric_product(x, next.data(), gram.data(), d);
            symmetric_product(gram.data(), gram.data(), square.data(), d);
            for (long i = 0; i < size; i++) {
                square[i] = b * gram[i] + c * square[i];
                next[i] = a * x[i];
            }
            product(rows(square.data(), d), x, d, next.data(), d, d, d, d, true);
            std::copy(next.begin(), next.end(), x);
        }
    }
}
