//! Embedding, norms, rotation and gating: what stands between the matrix products.

use half::bf16;

use super::{CudaError, Device, Dispatch, Heads, QkNorms, View, gemm::COLUMNS_PER_SUM};

const THREADS: u32 = 256;

/// Blocks of 256 threads that take `per_thread` items each.
fn grid_over(items: usize, per_thread: usize) -> [u32; 3] {
    let blocks = items.div_ceil(per_thread * THREADS as usize);
    [
        u32::try_from(blocks).expect("a step's work fits one grid"),
        1,
        1,
    ]
}

const fn overlapping(grid: [u32; 3]) -> Dispatch {
    Dispatch {
        grid,
        threads: THREADS,
        shared_bytes: 0,
        overlaps: true,
    }
}

/// Where the rows of a step get their tokens from.
#[derive(Clone, Copy, Debug)]
pub struct TokenSource<'a> {
    /// `[rows]` token ids; a negative one stands for the token that the row's slot chose last.
    pub ids: View<'a, i32>,
    /// `[rows]`
    pub slots: View<'a, i32>,
    /// `[slots]`
    pub last_token: View<'a, i32>,
}

/// What the first skinny product reads: the rows times its norm's weight, and their sums of squares.
#[derive(Clone, Copy, Debug)]
pub struct NormInput<'a> {
    /// `[hidden]`
    pub weight: View<'a, bf16>,
    /// `[rows][hidden]`, written.
    pub out: View<'a, bf16>,
    /// `[rows][hidden / 16]`, written.
    pub sums: View<'a, f32>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct EmbedArgs {
    table: u64,
    ids: u64,
    slots: u64,
    last_token: u64,
    next_norm: u64,
    residual: u64,
    out: u64,
    sums: u64,
    hidden: i32,
}

/// Rows of `table` `[vocab][hidden]` into the fp32 `residual` `[rows][hidden]`. Token ids must be in the vocabulary.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn embed(
    device: &Device,
    table: View<'_, bf16>,
    tokens: TokenSource<'_>,
    hidden: usize,
    residual: View<'_, f32>,
    next: Option<NormInput<'_>>,
) -> Result<(), CudaError> {
    let rows = tokens.ids.len();
    assert!(
        hidden.is_multiple_of(COLUMNS_PER_SUM)
            && table.len().is_multiple_of(hidden)
            && tokens.slots.len() == rows
            && residual.len() >= rows * hidden,
        "shapes of an embedding"
    );
    if let Some(next) = next {
        assert!(
            next.weight.len() == hidden
                && next.out.len() >= rows * hidden
                && next.sums.len() >= rows * hidden / COLUMNS_PER_SUM,
            "shapes of a norm's input"
        );
    }
    let args = EmbedArgs {
        table: table.ptr(),
        ids: tokens.ids.ptr(),
        slots: tokens.slots.ptr(),
        last_token: tokens.last_token.ptr(),
        next_norm: next.map_or(0, |next| next.weight.ptr()),
        residual: residual.ptr(),
        out: next.map_or(0, |next| next.out.ptr()),
        sums: next.map_or(0, |next| next.sums.ptr()),
        hidden: hidden as i32,
    };
    // SAFETY: the layout is `EmbedArgs` of elementwise.cu; the lengths were checked.
    unsafe {
        device.launch(
            &device.kernel("elementwise", "embed")?,
            overlapping([rows as u32, 1, 1]),
            &args,
        )
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RmsNormArgs {
    x: u64,
    rows: u64,
    weight: u64,
    out: u64,
    hidden: i32,
    eps: f32,
}

/// `out[r] = bf16(x[r] / rms(x[r]) * weight)` for `num_rows` rows of `weight.len()` numbers; with `rows`, of `x[rows[r]]`.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn rms_norm(
    device: &Device,
    x: View<'_, f32>,
    rows: Option<View<'_, i32>>,
    num_rows: usize,
    weight: View<'_, bf16>,
    eps: f32,
    out: View<'_, bf16>,
) -> Result<(), CudaError> {
    let hidden = weight.len();
    assert!(
        hidden.is_multiple_of(4)
            && out.len() >= num_rows * hidden
            && rows.map_or(x.len() >= num_rows * hidden, |rows| rows.len() == num_rows),
        "shapes of a norm"
    );
    let args = RmsNormArgs {
        x: x.ptr(),
        rows: rows.map_or(0, View::ptr),
        weight: weight.ptr(),
        out: out.ptr(),
        hidden: hidden as i32,
        eps,
    };
    // SAFETY: the layout is `RmsNormArgs` of elementwise.cu; the lengths were checked, and `rows` are the caller's own row numbers.
    unsafe {
        device.launch(
            &device.kernel("elementwise", "rms_norm")?,
            overlapping([num_rows as u32, 1, 1]),
            &args,
        )
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SumRowsArgs {
    x: u64,
    starts: u64,
    lens: u64,
    out: u64,
    hidden: i32,
}

/// `out[s]` = the sum of rows `starts[s]..starts[s] + lens[s]` of `x` `[rows][hidden]`, which must be there.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn sum_rows(
    device: &Device,
    x: View<'_, bf16>,
    starts: View<'_, i32>,
    lens: View<'_, i32>,
    hidden: usize,
    out: View<'_, f32>,
) -> Result<(), CudaError> {
    let num_sums = starts.len();
    assert!(
        num_sums > 0 && lens.len() == num_sums && out.len() >= num_sums * hidden,
        "shapes of a sum of rows"
    );
    let args = SumRowsArgs {
        x: x.ptr(),
        starts: starts.ptr(),
        lens: lens.ptr(),
        out: out.ptr(),
        hidden: hidden as i32,
    };
    let columns = (hidden as u32).div_ceil(THREADS);
    // SAFETY: the layout is `SumRowsArgs` of elementwise.cu; the lengths were checked, and the rows are the caller's own.
    unsafe {
        device.launch(
            &device.kernel("elementwise", "sum_rows")?,
            overlapping([columns, num_sums as u32, 1]),
            &args,
        )
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SiluMulArgs {
    gate_up: u64,
    out: u64,
    num_rows: i32,
    ffn: i32,
}

/// `out = silu(gate) * up`; `gate_up` is `[rows][gate | up]` with `ffn` numbers each, `out` `[rows][ffn]`.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn silu_mul(
    device: &Device,
    gate_up: View<'_, bf16>,
    num_rows: usize,
    ffn: usize,
    out: View<'_, bf16>,
) -> Result<(), CudaError> {
    assert!(
        ffn.is_multiple_of(8) && gate_up.len() >= num_rows * 2 * ffn && out.len() >= num_rows * ffn,
        "shapes of a gate"
    );
    let args = SiluMulArgs {
        gate_up: gate_up.ptr(),
        out: out.ptr(),
        num_rows: num_rows as i32,
        ffn: ffn as i32,
    };
    // SAFETY: the layout is `SiluMulArgs` of elementwise.cu; the lengths were checked.
    unsafe {
        device.launch(
            &device.kernel("elementwise", "silu_mul")?,
            overlapping(grid_over(num_rows * ffn, 8)),
            &args,
        )
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct QkNormRopeArgs {
    qkv: u64,
    cache: u64,
    positions: u64,
    places: u64,
    q_norm: u64,
    k_norm: u64,
    rope: u64,
    num_tokens: i32,
    num_heads: i32,
    num_kv_heads: i32,
    eps: f32,
}

/// Where the tokens of a step are.
#[derive(Clone, Copy, Debug)]
pub struct TokenPlaces<'a> {
    /// `[tokens]` in their sequence.
    pub positions: View<'a, i32>,
    /// `[tokens]` in the cache: page times 32 plus the place in the page.
    pub places: View<'a, i32>,
}

/// Normalises and turns the queries of `qkv` in place, and puts its keys (normalised and turned) and values into one layer's cache.
/// `rope` is `[position][head_len / 2][cos, sin]`.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn qk_norm_rope(
    device: &Device,
    qkv: View<'_, bf16>,
    heads: Heads,
    norms: Option<QkNorms<'_>>,
    rope: View<'_, f32>,
    tokens: TokenPlaces<'_>,
    cache: View<'_, bf16>,
) -> Result<(), CudaError> {
    let num_tokens = tokens.positions.len();
    assert!(
        tokens.places.len() == num_tokens && qkv.len() >= num_tokens * heads.qkv_len(),
        "shapes of heads"
    );
    let kernel = match heads.head_len {
        64 => device.kernel("elementwise", "qk_norm_rope_64")?,
        128 => device.kernel("elementwise", "qk_norm_rope_128")?,
        other => panic!("heads of {other} numbers were refused when the model was opened"),
    };
    let args = QkNormRopeArgs {
        qkv: qkv.ptr(),
        cache: cache.ptr(),
        positions: tokens.positions.ptr(),
        places: tokens.places.ptr(),
        q_norm: norms.map_or(0, |norms| norms.q.ptr()),
        k_norm: norms.map_or(0, |norms| norms.k.ptr()),
        rope: rope.ptr(),
        num_tokens: num_tokens as i32,
        num_heads: heads.num_heads as i32,
        num_kv_heads: heads.num_kv_heads as i32,
        eps: norms.map_or(0.0, |norms| norms.eps),
    };
    let warps = num_tokens * (heads.num_heads + 2 * heads.num_kv_heads);
    // SAFETY: the layout is `QkNormRopeArgs` of elementwise.cu; lengths were checked, positions and places are the step's own.
    unsafe { device.launch(&kernel, overlapping(grid_over(warps * 32, 1)), &args) }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct RopeTableArgs {
    frequencies: u64,
    table: u64,
    num_positions: i32,
    num_pairs: i32,
}

/// Fills `table` `[positions][pairs][cos, sin]` for angles of position times frequency (radians).
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn rope_table(
    device: &Device,
    frequencies: View<'_, f32>,
    table: View<'_, f32>,
) -> Result<(), CudaError> {
    let pairs = frequencies.len();
    assert!(table.len().is_multiple_of(2 * pairs), "whole positions");
    let args = RopeTableArgs {
        frequencies: frequencies.ptr(),
        table: table.ptr(),
        num_positions: (table.len() / (2 * pairs)) as i32,
        num_pairs: pairs as i32,
    };
    let dispatch = Dispatch {
        overlaps: false,
        ..overlapping(grid_over(table.len() / 2, 1))
    };
    // SAFETY: the layout is `RopeTableArgs` of elementwise.cu; the lengths were checked.
    unsafe {
        device.launch(
            &device.kernel("elementwise", "rope_table")?,
            dispatch,
            &args,
        )
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct NoiseArgs {
    out: u64,
    len: u64,
    seed: u64,
    width: f32,
}

/// Fills `out` with numbers evenly spread over `-width/2..width/2`. The same seed gives the same numbers.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn noise(device: &Device, out: View<'_, bf16>, seed: u64, width: f32) -> Result<(), CudaError> {
    let args = NoiseArgs {
        out: out.ptr(),
        len: out.len() as u64,
        seed,
        width,
    };
    let dispatch = Dispatch {
        overlaps: false,
        ..overlapping(grid_over(out.len(), 4))
    };
    // SAFETY: the layout is `NoiseArgs` of elementwise.cu; it writes `len` numbers.
    unsafe { device.launch(&device.kernel("elementwise", "noise")?, dispatch, &args) }
}

#[repr(C)]
#[derive(Clone, Copy)]
struct ReadArgs {
    input: u64,
    len: u64,
    out: u64,
}

/// Bytes a second that a kernel reads which does nothing else: what others are compared with. Takes 4 GiB, or half of what is free.
#[allow(unsafe_code, reason = "launches a kernel")]
pub fn read_bandwidth(device: &Device) -> Result<f64, CudaError> {
    let bytes = (4u64 << 30).min(device.memory()?.0 / 2) as usize & !0xfff;
    let (input, out) = (
        device.zeros::<u8>("a bandwidth test", bytes)?,
        device.zeros::<u32>("a bandwidth test", 1)?,
    );
    noise(device, input.view().cast(), 1, 1.0)?;
    let args = ReadArgs {
        input: input.view().ptr(),
        len: bytes as u64 / 16,
        out: out.view().ptr(),
    };
    let dispatch = Dispatch {
        grid: [4 * device.num_sms(), 1, 1],
        threads: 512,
        shared_bytes: 0,
        overlaps: false,
    };
    let kernel = device.kernel("elementwise", "read_all")?;
    let mut times = Vec::new();
    for _ in 0..12 {
        let begin = device.timed_event()?;
        // SAFETY: the layout is `ReadArgs` of elementwise.cu; it reads `len` pieces and may write one word.
        unsafe { device.launch(&kernel, dispatch, &args) }?;
        times.push(begin.elapsed_ms(&device.timed_event()?)?);
    }
    times.sort_by(f32::total_cmp);
    Ok(bytes as f64 / f64::from(times[times.len() / 2]) * 1e3)
}
