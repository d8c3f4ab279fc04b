// RMSNorm of rows of width d: y = w x / sqrt(mean(x^2) + epsilon).
#pragma once
#include "vector.h"

inline float inverse_rms(const float* x, long d, float epsilon) { return 1 / std::sqrt(dot(x, x, d) / d + epsilon); }

// dx from dy, which it may overwrite; adds to dw. `scale` is the row's inverse RMS.
inline void norm_row_backward(const float* dy, const float* x, const float* w, float scale, float* dx, float* dw, long d) {
    Floats sums = {};
    long i = 0;
    for (; i + LANES <= d; i += LANES) sums += load(dy + i) * load(w + i) * load(x + i);
    float along = sum(sums);
    for (; i < d; i++) along += dy[i] * w[i] * x[i];
    along *= scale * scale / d;
    for (i = 0; i < d; i++) {
        const float g = dy[i];
        dw[i] += g * x[i] * scale;
        dx[i] = scale * (g * w[i] - along * x[i]);
    }
}

extern "C" void norm(const float* x, const float* w, float epsilon, long n, long d, float* y, float* scale) {
    for (long t = 0; t < n; t++, x += d, y += d) {
        scale[t] = inverse_rms(x, d, epsilon);
        for (long i = 0; i < d; i++) y[i] = x[i] * scale[t] * w[i];
    }
}

extern "C" void norm_backward(
    const float* dy, const float* x, const float* w, const float* scale, long n, long d, float* dx, float* dw) {
    std::fill_n(dw, d, 0.0f);
    for (long t = 0; t < n; t++) norm_row_backward(dy + t * d, x + t * d, w, scale[t], dx + t * d, dw, d);
}
