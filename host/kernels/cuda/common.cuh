// What all kernels share. Header-free (no cuda_bf16.h), so that nvcc and NVRTC take the same text; bf16 travels as raw 16-bit words.
#pragma once

typedef unsigned short bf16;
typedef unsigned int u32;
typedef unsigned long long u64;

// Tokens a page of the key/value cache holds. One layer's cache: [page][K|V][kv head][PAGE_LEN][head length].
constexpr int PAGE_LEN = 32;

// ---- bf16 words <-> fp32
__device__ __forceinline__ float bf_lo(u32 v) { return __uint_as_float(v << 16); }
__device__ __forceinline__ float bf_hi(u32 v) { return __uint_as_float(v & 0xffff0000u); }
__device__ __forceinline__ float bf2f(bf16 v) { return __uint_as_float((u32)v << 16); }
__device__ __forceinline__ u32 pack_bf(float lo, float hi) {  // round to nearest even
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(hi), "f"(lo));
    return r;
}
__device__ __forceinline__ bf16 f2bf(float v) { return (bf16)(pack_bf(v, 0.f) & 0xffffu); }

// ---- tensor cores: D[16x8] += A[16x16] B[16x8], bf16 in, fp32 out. Lane = 4*g + t.
//   A: a0 = (row g, k 2t..)  a1 = (row g+8, k 2t..)  a2 = (row g, k 2t+8..)  a3 = (row g+8, k 2t+8..)
//   B: b0 = (k 2t.., col g)  b1 = (k 2t+8.., col g)      D: d0,d1 = (row g, col 2t,2t+1)  d2,d3 = (row g+8, ..)
__device__ __forceinline__ void mma16816(float* d, u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// ---- global -> shared copies that do not wait
__device__ __forceinline__ u32 smem_u32(const void* p) { return (u32)__cvta_generic_to_shared(p); }
__device__ __forceinline__ void cp16(u32 dst, const void* src) {  // 16 bytes, bypassing L1
    asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16;" ::"r"(dst), "l"(src) : "memory");
}
__device__ __forceinline__ void cp_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int N> __device__ __forceinline__ void cp_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }
__device__ __forceinline__ uint4 lds16(u32 a) {
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3},[%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(a) : "memory");
    return v;
}

// ---- programmatic dependent launch (compute capability 9.0; nothing on older cards, where kernels run one after the other).
// A kernel that is launched to overlap its predecessor may read only weights, tables and cache rows of earlier steps before
// pdl_wait(), and every thread of every block calls it, so that "done" stays transitive along the chain.
__device__ __forceinline__ void pdl_wait() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
__device__ __forceinline__ void pdl_trigger() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

__device__ __forceinline__ float warp_sum(float v) {
#pragma unroll
    for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(~0u, v, o);
    return v;
}
__device__ __forceinline__ float ld_cg(const float* p) {  // past L1, which is not coherent
    float v;
    asm volatile("ld.global.cg.f32 %0,[%1];" : "=f"(v) : "l"(p) : "memory");
    return v;
}
