// Compares the kernels with the same functions in plain float64, gradients by central differences, so that an error of
// the compiler or the processor is found before anything is trained. It is a separate file, so that the kernels are
// tested as they are called, not as the compiler would inline them here; with -DMAIN it is a program.
#include "kernels.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <vector>

namespace {

using Doubles = std::vector<double>;
using Tensors = std::vector<Doubles>;  // inputs of a function whose gradients are taken
using Exact = std::function<Doubles(const Tensors&)>;

struct Numbers {  // about uniform in -1 .. 1, the same on every machine
    uint64_t state = 1;
    double next() {
        state = state * 6364136223846793005u + 1442695040888963407u;
        return double(state >> 40) / (1 << 23) - 1;
    }
    Doubles many(long n) {
        Doubles values(n);
        for (double& value : values) value = float(next());  // so that float32 and float64 start from the same values
        return values;
    }
};

struct Floats32 : std::vector<float> {
    explicit Floats32(const Doubles& values) : std::vector<float>(values.begin(), values.end()) {}
    explicit Floats32(long n) : std::vector<float>(n) {}
};

// The largest distance, over the largest value; infinite for NaN.
double distance(const std::vector<float>& found, const Doubles& exact) {
    double apart = 0, largest = 1e-3;
    for (size_t i = 0; i < exact.size(); i++) {
        const double here = std::abs(found[i] - exact[i]);
        if (!(here <= apart)) apart = here;
        if (!(here == here)) return INFINITY;
        largest = std::max(largest, std::abs(exact[i]));
    }
    return apart / largest;
}

// d(sum of cotangent times f)/d(inputs[which])
Doubles gradient(const Exact& f, Tensors inputs, size_t which, const Doubles& cotangent) {
    constexpr double STEP = 1e-4;
    Doubles result;
    for (double& x : inputs[which]) {
        const double at = x;
        double ends[2];
        for (int side = 0; side < 2; side++) {
            x = at + (side ? STEP : -STEP);
            const Doubles y = f(inputs);
            ends[side] = 0;
            for (size_t i = 0; i < y.size(); i++) ends[side] += cotangent[i] * y[i];
        }
        x = at;
        result.push_back((ends[1] - ends[0]) / (2 * STEP));
    }
    return result;
}

// y [n, rows] = x [n, d] w [rows, d]'
Doubles times(const Doubles& x, const double* w, long n, long d, long n_rows) {
    Doubles y(n * n_rows);
    for (long i = 0; i < n; i++)
        for (long r = 0; r < n_rows; r++)
            for (long j = 0; j < d; j++) y[i * n_rows + r] += x[i * d + j] * w[r * d + j];
    return y;
}

Doubles softmax(Doubles x) {
    double total = 0;
    for (double& value : x) total += value = std::exp(value);
    for (double& value : x) value /= total;
    return x;
}

double linear_error(Numbers& numbers) {
    const long n = 7, d = 37, n_rows = 29;
    const Tensors in = {numbers.many(n * d), numbers.many(n_rows * d)};
    const Exact exact = [&](const Tensors& t) { return times(t[0], t[1].data(), n, d, n_rows); };
    const Doubles cotangent = numbers.many(n * n_rows);
    const Floats32 x(in[0]), w(in[1]), dy(cotangent);
    Floats32 y(n * n_rows), dx(n * d), dw(n_rows * d);
    linear(x.data(), w.data(), n, d, n_rows, 0, y.data());
    linear_backward(x.data(), w.data(), dy.data(), n, d, n_rows, 0, dx.data(), dw.data());
    return std::max({distance(y, exact(in)), distance(dx, gradient(exact, in, 0, cotangent)),
                     distance(dw, gradient(exact, in, 1, cotangent))});
}

void normalise(const double* x, const double* w, long d, double* y) {
    double squares = 0;
    for (long j = 0; j < d; j++) squares += x[j] * x[j];
    for (long j = 0; j < d; j++) y[j] = w[j] * x[j] / std::sqrt(squares / d + 1e-5);
}

double norm_error(Numbers& numbers) {
    const long n = 3, d = 43;
    const Tensors in = {numbers.many(n * d), numbers.many(d)};
    const Exact exact = [&](const Tensors& t) {
        Doubles y(n * d);
        for (long i = 0; i < n; i++) normalise(&t[0][i * d], t[1].data(), d, &y[i * d]);
        return y;
    };
    const Doubles cotangent = numbers.many(n * d);
    const Floats32 x(in[0]), w(in[1]), dy(cotangent);
    Floats32 y(n * d), scale(n), dx(n * d), dw(d);
    norm(x.data(), w.data(), 1e-5f, n, d, y.data(), scale.data());
    norm_backward(dy.data(), x.data(), w.data(), scale.data(), n, d, dx.data(), dw.data());
    return std::max({distance(y, exact(in)), distance(dx, gradient(exact, in, 0, cotangent)),
                     distance(dw, gradient(exact, in, 1, cotangent))});
}

double attention_error(Numbers& numbers) {
    const long length = 35, heads = 2, width = 6, d = heads * width;  // more than one block of queries
    Doubles cosines(length * width), sines(cosines);
    for (long t = 0; t < length; t++)
        for (long j = 0; j < width; j++) {
            const double angle = t * std::pow(10.0, -2.0 * (j % (width / 2)) / width);
            cosines[t * width + j] = float(std::cos(angle)), sines[t * width + j] = float(std::sin(angle));
        }
    const Tensors in = {numbers.many(length * 3 * d), numbers.many(d), numbers.many(d)};
    const Exact exact = [&](const Tensors& t) {
        Doubles turned(2 * length * d), y(length * d);  // queries, then keys
        for (long p = 0; p < length; p++)
            for (long which = 0; which < 2; which++) {
                Doubles normed(d);
                normalise(&t[0][(3 * p + which) * d], t[1 + which].data(), d, normed.data());
                for (long j = 0; j < d; j++) {
                    const long c = j % width, half = width / 2, at = p * width + c;
                    const double partner = c < half ? -normed[j + half] : normed[j - half];
                    turned[(which * length + p) * d + j] = normed[j] * cosines[at] + partner * sines[at];
                }
            }
        for (long h = 0; h < heads; h++)
            for (long p = 0; p < length; p++) {
                Doubles scores(p + 1);
                for (long k = 0; k <= p; k++)
                    for (long j = h * width; j < (h + 1) * width; j++)
                        scores[k] += turned[p * d + j] * turned[(length + k) * d + j] / std::sqrt(double(width));
                const Doubles shares = softmax(scores);
                for (long k = 0; k <= p; k++)
                    for (long j = h * width; j < (h + 1) * width; j++)
                        y[p * d + j] += shares[k] * t[0][(3 * k + 2) * d + j];
            }
        return y;
    };
    const Doubles cotangent = numbers.many(length * d);
    const Floats32 qkv(in[0]), q(in[1]), k(in[2]), cos(cosines), sin(sines), dout(cotangent);
    Floats32 out(length * d), log_partition(heads * length), dqkv(length * 3 * d), dq(d), dk(d);
    attention(qkv.data(), q.data(), k.data(), cos.data(), sin.data(), 1e-5f, 1, length, heads, width, out.data(),
              log_partition.data());
    attention_backward(qkv.data(), q.data(), k.data(), cos.data(), sin.data(), 1e-5f, 1, length, heads, width,
                       out.data(), log_partition.data(), dout.data(), dqkv.data(), dq.data(), dk.data());
    return std::max({distance(out, exact(in)), distance(dqkv, gradient(exact, in, 0, cotangent)),
                     distance(dq, gradient(exact, in, 1, cotangent)), distance(dk, gradient(exact, in, 2, cotangent))});
}

double loss_error(Numbers& numbers) {
    const long n = 67, d = 5, vocabulary = 131;  // two chunks of 64 tokens, more than one of words
    const Tensors in = {numbers.many(n * d), numbers.many(vocabulary * d)};
    std::vector<int64_t> target(n);
    for (long i = 0; i < n; i++) target[i] = 7 * i % vocabulary;
    const Exact exact = [&](const Tensors& t) {
        const Doubles logits = times(t[0], t[1].data(), n, d, vocabulary);
        Doubles y;
        for (long i = 0; i < n; i++) {
            const auto row = logits.begin() + i * vocabulary;
            y.push_back(-std::log(softmax(Doubles(row, row + vocabulary))[target[i]]));
        }
        return y;
    };
    const Doubles cotangent = numbers.many(n);
    const Floats32 x(in[0]), w(in[1]), dnll(cotangent);
    Floats32 nll(n), log_partition(n), logits(2 * 64 * vocabulary), dx(n * d);
    Floats32 dw(vocabulary * d);
    next_token_nll(x.data(), w.data(), target.data(), n, d, vocabulary, 0, 1, nll.data(), log_partition.data(),
                   logits.data());
    next_token_nll_backward(x.data(), w.data(), target.data(), logits.data(), log_partition.data(), dnll.data(), n, d,
                            vocabulary, 0, dx.data(), dw.data());
    return std::max({distance(nll, exact(in)), distance(dx, gradient(exact, in, 0, cotangent)),
                     distance(dw, gradient(exact, in, 1, cotangent))});
}

// Gates of the best experts, mean probabilities and log-partitions, side by side
double route_error(Numbers& numbers) {
    const long n = 9, n_experts = 11, n_active = 3;
    const Tensors in = {numbers.many(n * n_experts)};
    Floats32 logits(in[0]), probability(n * n_experts), y(n * n_active + n_experts + n);
    float *gate = y.data(), *mean = gate + n * n_active, *log_partition = mean + n_experts, entropy;
    std::vector<int64_t> expert(n * n_active), load(n_experts);
    route(logits.data(), n, n_experts, n_active, probability.data(), expert.data(), gate, log_partition, load.data(),
          mean, &entropy);
    const Exact exact = [&](const Tensors& t) {
        Doubles result(y.size());
        for (long i = 0; i < n; i++) {
            const auto row = t[0].begin() + i * n_experts;
            const Doubles p = softmax(Doubles(row, row + n_experts));
            for (long k = 0; k < n_active; k++) result[i * n_active + k] = p[expert[i * n_active + k]];
            for (long e = 0; e < n_experts; e++) result[n * n_active + e] += p[e] / n;
            result[n * n_active + n_experts + i] = row[0] - std::log(p[0]);
        }
        return result;
    };
    bool best = true;  // no expert that was left out is likelier than the last one chosen
    for (long i = 0; i < n; i++)
        for (long e = 0; e < n_experts; e++) {
            const auto chosen = expert.begin() + i * n_active;
            const bool taken = std::find(chosen, chosen + n_active, e) != chosen + n_active;
            best = best && (taken || probability[i * n_experts + e] <= gate[i * n_active + n_active - 1]);
        }
    const Doubles cotangent = numbers.many(long(y.size()));
    const Floats32 dy(cotangent);
    Floats32 dlogits(n * n_experts);
    route_backward(probability.data(), expert.data(), dy.data(), &dy[n * n_active + n_experts], &dy[n * n_active], n,
                   n_experts, n_active, dlogits.data());
    return best ? std::max(distance(y, exact(in)), distance(dlogits, gradient(exact, in, 0, cotangent))) : INFINITY;
}

double experts_error(Numbers& numbers) {
    const long n = 70, d = 5, f = 9, n_experts = 3, n_active = 2;  // expert 0 takes more than one block, 2 one token
    std::vector<int64_t> expert;
    for (long i = 0; i < n; i++) expert.insert(expert.end(), {i == 4 ? 2 : 1, 0});
    const long size = n_experts * f * d;
    const Tensors in = {numbers.many(n * d), numbers.many(n * n_active), numbers.many(size), numbers.many(size),
                        numbers.many(size)};
    const Exact exact = [&](const Tensors& t) {
        Doubles y(n * d);
        for (long a = 0; a < n * n_active; a++) {
            const Doubles x(t[0].begin() + a / n_active * d, t[0].begin() + (a / n_active + 1) * d);
            const long at = expert[a] * f * d;
            const Doubles left = times(x, &t[2][at], 1, d, f), right = times(x, &t[3][at], 1, d, f);
            for (long k = 0; k < f; k++) {
                const double h = t[1][a] * left[k] / (1 + std::exp(-left[k])) * right[k];
                for (long j = 0; j < d; j++) y[a / n_active * d + j] += h * t[4][at + k * d + j];
            }
        }
        return y;
    };
    const Doubles cotangent = numbers.many(n * d);
    const Floats32 x(in[0]), gate(in[1]), w1(in[2]), v1(in[3]), w2(in[4]), dy(cotangent);
    Floats32 y(n * d), hidden(2 * f * (n * n_active + 8 * n_experts)), dx(n * d), dgate(n * n_active), dw1(size);
    Floats32 dv1(size), dw2(size);
    experts(x.data(), expert.data(), gate.data(), w1.data(), v1.data(), w2.data(), n, d, f, n_experts, n_active, 0, 1,
            y.data(), hidden.data());
    experts_backward(x.data(), expert.data(), gate.data(), w1.data(), v1.data(), w2.data(), hidden.data(), dy.data(), n,
                     d, f, n_experts, n_active, 0, dx.data(), dgate.data(), dw1.data(), dv1.data(), dw2.data());
    double error = distance(y, exact(in));
    const Floats32* found[] = {&dx, &dgate, &dw1, &dv1, &dw2};
    for (size_t i = 0; i < in.size(); i++) error = std::max(error, distance(*found[i], gradient(exact, in, i, cotangent)));
    return error;
}

// Products of numbers rounded to bfloat16 have to be those of the rounded numbers.
double rounded_error(Numbers& numbers) {
    const long n = 7, d = 37, n_rows = 29;
    const Doubles x = numbers.many(n * d), w = numbers.many(n_rows * d);
    const auto bfloat16 = [](Doubles values) {
        for (double& value : values) {
            float single = float(value);
            uint32_t bits;
            std::memcpy(&bits, &single, 4);
            bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;  // to the nearest, ties to even
            std::memcpy(&single, &bits, 4);
            value = single;
        }
        return values;
    };
    const Floats32 x32(x), w32(w);
    Floats32 y(n * n_rows);
    linear(x32.data(), w32.data(), n, d, n_rows, 1, y.data());
    return distance(y, times(bfloat16(x), bfloat16(w).data(), n, d, n_rows));
}

double optimizer_error(Numbers& numbers) {
    const int64_t n = 53;
    const double scale = 0.7, rate = 0.01, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, keep = 0.999, root = 1.3;
    const Doubles weight = numbers.many(n), first = numbers.many(n), drawn = numbers.many(n), slope = numbers.many(n);
    Doubles second, squares = {0}, moved;
    for (double value : drawn) second.push_back(float(value * value));
    for (long j = 0; j < n; j++) {
        const double g = slope[j] * scale, m = first[j] + (1 - beta1) * (g - first[j]);
        const double v = beta2 * second[j] + (1 - beta2) * g * g;
        moved.push_back(keep * weight[j] - rate * m / (std::sqrt(v) * root + epsilon));
        squares[0] += slope[j] * slope[j];
    }
    Floats32 w(weight), m(first), v(second), g(slope);
    float *ws[] = {w.data()}, *ms[] = {m.data()}, *vs[] = {v.data()};
    const float* gs[] = {g.data()};
    double total = 0;
    sum_of_squares(gs, &n, 1, &total);
    adam(ws, gs, ms, vs, &n, 1, scale, rate, beta1, beta2, epsilon, keep, root);
    return std::max(distance(w, moved), distance({float(total)}, squares));
}

}  // namespace

double self_test() {
    Numbers numbers;
    double largest = 0;
    for (auto error : {linear_error, rounded_error, norm_error, attention_error, loss_error, route_error, experts_error,
                       optimizer_error})
        largest = std::max(largest, error(numbers));
    return largest;
}

#ifdef MAIN
int main() { std::printf("%.2g\n", self_test()); }
#endif
