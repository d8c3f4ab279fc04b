// Adam with decoupled weight decay in one pass over the weights, behind the clipping of the gradient's norm.
#pragma once
#include "vector.h"

extern "C" void sum_of_squares(
    const float* const* gradients, const int64_t* sizes, long n_tensors, double* squares) {
    double total = 0;
    for (long i = 0; i < n_tensors; i++)
        for (long first = 0; first < sizes[i]; first += 4096) {
            const float* part = gradients[i] + first;
            total += dot(part, part, std::min<long>(4096, sizes[i] - first));
        }
    *squares = total;
}

// `rate` is the step's learning rate over 1 - beta1^t, `root` is 1 / sqrt(1 - beta2^t), `keep` what decay leaves.
extern "C" void adam(
    float* const* weights, const float* const* gradients, float* const* firsts, float* const* seconds,
    const int64_t* sizes, long n_tensors, float scale, float rate, float beta1, float beta2, float epsilon, float keep,
    float root) {
    for (long i = 0; i < n_tensors; i++) {
        float *__restrict w = weights[i], *__restrict m = firsts[i], *__restrict v = seconds[i];
        const float* __restrict gradient = gradients[i];
        for (long j = 0; j < sizes[i]; j++) {
            const float g = gradient[j] * scale;
            m[j] += (1 - beta1) * (g - m[j]);
            v[j] = beta2 * v[j] + (1 - beta2) * g * g;
            w[j] = keep * w[j] - rate * m[j] / (std::sqrt(v[j]) * root + epsilon);
        }
    }
}
