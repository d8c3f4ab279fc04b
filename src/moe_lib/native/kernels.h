// What the library offers: float32 unless another type is named, every array contiguous. Shapes are given at the definitions.
#pragma once
#include <cstdint>

extern "C" {
void linear(const float* x, const float* w, long n, long d, long n_rows, long rounded, float* y);
void linear_backward(
    const float* x, const float* w, const float* dy, long n, long d, long n_rows, long rounded, float* dx, float* dw);

void next_token_nll(
    const float* x, const float* w, const int64_t* target, long n, long d, long vocabulary, long rounded, long kept,
    float* nll, float* log_partition, float* logits);
void next_token_nll_backward(
    const float* x, const float* w, const int64_t* target, const float* logits, const float* log_partition,
    const float* dnll, long n, long d, long vocabulary, long rounded, float* dx, float* dw);

void norm(const float* x, const float* w, float epsilon, long n, long d, float* y, float* scale);
void norm_backward(
    const float* dy, const float* x, const float* w, const float* scale, long n, long d, float* dx, float* dw);

void attention(
    const float* qkv, const float* q_weight, const float* k_weight, const float* cos, const float* sin, float epsilon,
    long batch, long length, long heads, long width, float* out, float* log_partition);
void attention_backward(
    const float* qkv, const float* q_weight, const float* k_weight, const float* cos, const float* sin, float epsilon,
    long batch, long length, long heads, long width, const float* out, const float* log_partition, const float* dout,
    float* dqkv, float* dq_weight, float* dk_weight);

void route(
    const float* logits, long n, long n_experts, long n_active, float* probability, int64_t* expert, float* gate,
    float* log_partition, int64_t* load, float* mean_probability, float* entropy);
void route_backward(
    const float* probability, const int64_t* expert, const float* dgate, const float* dlog_partition,
    const float* dmean_probability, long n, long n_experts, long n_active, float* dlogits);

void experts(
    const float* x, const int64_t* expert, const float* gate, const float* w1, const float* v1, const float* w2, long n,
    long d, long f, long n_experts, long n_active, long rounded, long kept, float* y, float* hidden);
void experts_backward(
    const float* x, const int64_t* expert, const float* gate, const float* w1, const float* v1, const float* w2,
    const float* hidden, const float* dy, long n, long d, long f, long n_experts, long n_active, long rounded,
    float* dx, float* dgate, float* dw1, float* dv1, float* dw2);

void orthogonalize(float* x, long n, long d, long steps, float a, float b, float c);
void sum_of_squares(const float* const* gradients, const int64_t* sizes, long n_tensors, double* squares);
void adam(
    float* const* weights, const float* const* gradients, float* const* firsts, float* const* seconds,
    const int64_t* sizes, long n_tensors, float scale, float rate, float beta1, float beta2, float epsilon, float keep,
    float root);

double self_test();  // largest relative error of any kernel; about 1e-6 if they are correct
}
