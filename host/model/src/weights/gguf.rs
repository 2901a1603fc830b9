//! Weights from a GGUF file.

use std::path::Path;
use std::sync::Once;

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, ggml_file};
use candle_core::{Device, Tensor};
use kernels::Matrix;

use super::{Naming, Tensors};
use crate::error::LoadError;

/// The tensors of a GGUF file in memory.
pub(crate) struct GgufTensors<'a> {
    path: &'a Path,
    content: &'a Content,
    file: &'a [u8],
    /// Rounding is told once, not once a tensor.
    rounding_told: Once,
}

impl<'a> GgufTensors<'a> {
    pub(crate) fn new(path: &'a Path, content: &'a Content, file: &'a [u8]) -> Self {
        Self {
            path,
            content,
            file,
            rounding_told: Once::new(),
        }
    }

    /// The type and bytes of a tensor of the given shape.
    fn bytes(&self, name: &str, expected: &[usize]) -> Result<(GgmlDType, &'a [u8]), LoadError> {
        let missing = || LoadError::MissingTensor {
            path: self.path.to_owned(),
            name: name.to_owned(),
        };
        let info = self.content.tensor_infos.get(name).ok_or_else(missing)?;
        let dims = info.shape.dims();
        if dims != expected {
            return Err(LoadError::WrongShape {
                path: self.path.to_owned(),
                name: name.to_owned(),
                found: dims.to_vec(),
                expected: expected.to_vec(),
            });
        }
        let dtype = info.ggml_dtype;
        let wrong =
            |reason: String| LoadError::malformed(self.path, format!("tensor {name}: {reason}"));
        let row_len = dims.last().copied().unwrap_or(0);
        if !row_len.is_multiple_of(dtype.block_size()) {
            return Err(wrong(format!(
                "rows of {row_len} are no whole blocks of {}",
                dtype.block_size()
            )));
        }
        let len = (info.shape.elem_count() / dtype.block_size()).checked_mul(dtype.type_size());
        let start = self.content.tensor_data_offset.checked_add(info.offset);
        let start = start.and_then(|start| usize::try_from(start).ok());
        let range = start
            .zip(len)
            .and_then(|(start, len)| Some(start..start.checked_add(len)?));
        let bytes = range.and_then(|range| self.file.get(range));
        bytes
            .map(|bytes| (dtype, bytes))
            .ok_or_else(|| wrong("the file ends before its last byte".to_owned()))
    }

    /// Floats of any type that candle can widen.
    fn widen(
        &self,
        name: &str,
        dtype: GgmlDType,
        bytes: &[u8],
        dims: &[usize],
    ) -> Result<Vec<f32>, LoadError> {
        let widened = ggml_file::qtensor_from_ggml(dtype, bytes, dims.to_vec(), &Device::Cpu)
            .and_then(|tensor| tensor.dequantize(&Device::Cpu))
            .and_then(|tensor: Tensor| tensor.flatten_all()?.to_vec1());
        widened.map_err(|error| LoadError::malformed(self.path, format!("tensor {name}: {error}")))
    }
}

impl Tensors for GgufTensors<'_> {
    fn naming(&self) -> Naming {
        Naming::Gguf
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, LoadError> {
        let (dtype, bytes) = self.bytes(name, &[rows, cols])?;
        let matrix = match dtype {
            GgmlDType::Q4_0 => Matrix::from_q4_0(bytes, rows, cols),
            GgmlDType::Q4_1 => Matrix::from_q4_1(bytes, rows, cols),
            GgmlDType::Q8_0 => Matrix::from_q8_0(bytes, rows, cols),
            GgmlDType::F16 => Matrix::from_f16(bytes, rows, cols),
            GgmlDType::BF16 => Matrix::from_bf16(bytes, rows, cols),
            GgmlDType::F32 => Matrix::from_f32(bytes, rows, cols),
            // Kept as floats these would be 6 times larger and slower; the rounding is finer than that of the activations.
            other => {
                self.rounding_told.call_once(|| {
                    tracing::warn!(tensor = name, kind = ?other, "weights of this kind are rounded to 8 bits (Q8_0)");
                });
                Matrix::round_to_q8(&self.widen(name, other, bytes, &[rows, cols])?, rows, cols)
            }
        };
        matrix.map_err(|error| LoadError::malformed(self.path, format!("tensor {name}: {error}")))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let (dtype, bytes) = self.bytes(name, &[len])?;
        self.widen(name, dtype, bytes, &[len])
    }
}

/// A vector of whatever length, if the file has it.
pub(crate) fn gguf_vector(
    path: &Path,
    content: &Content,
    file: &[u8],
    name: &str,
) -> Result<Option<Vec<f32>>, LoadError> {
    let Some(info) = content.tensor_infos.get(name) else {
        return Ok(None);
    };
    GgufTensors::new(path, content, file)
        .vector(name, info.shape.elem_count())
        .map(Some)
}
