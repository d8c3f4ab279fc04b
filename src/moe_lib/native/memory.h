// Pages of 2 MiB for large tensors. A step with many experts reads and writes hundreds of MiB once each, and with pages
// of 4 KiB it waits for their addresses too, above all when it asks for them early. Advice: no value depends on it.
#pragma once
#include <cstdint>

#if defined(__linux__)
#include <sys/mman.h>
#endif

constexpr uintptr_t HUGE_PAGE = 1 << 21;

// Memory first touched from now on comes in huge pages; the ends of a tensor share theirs with their neighbours.
inline void huge_pages(const float* tensor, long n) {
#if defined(MADV_HUGEPAGE)
    const uintptr_t first = uintptr_t(tensor) & -HUGE_PAGE, last = (uintptr_t(tensor + n) + HUGE_PAGE - 1) & -HUGE_PAGE;
    if (4 * n >= long(HUGE_PAGE)) madvise((void*)first, last - first, MADV_HUGEPAGE);
#endif
}

// The same for tensors that already have values: they move if this kernel can do that at once (Linux 6.1).
extern "C" void move_to_huge_pages(float* const* tensors, const int64_t* sizes, long n_tensors) {
#if defined(MADV_HUGEPAGE)
    constexpr int COLLAPSE = 25;  // MADV_COLLAPSE, which older headers lack
    for (long i = 0; i < n_tensors; i++) {
        const uintptr_t first = uintptr_t(tensors[i]) & -HUGE_PAGE;
        huge_pages(tensors[i], sizes[i]);
        if (4 * sizes[i] >= long(HUGE_PAGE)) madvise((void*)first, 4 * sizes[i], COLLAPSE);
    }
#endif
}
