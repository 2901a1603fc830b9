//! Weights from a GGUF file.

use std::ops::Range;
use std::path::Path;
use std::sync::Once;

use candle_core::quantized::gguf_file::Content;
use candle_core::quantized::{GgmlDType, ggml_file};
use candle_core::{Device, Tensor};
use half::bf16;
use kernels::Matrix;

use super::{Bf16Tensors, Naming, Tensors};
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

impl Bf16Tensors for GgufTensors<'_> {
    fn bf16_rows(
        &self,
        name: &str,
        [rows, cols]: [usize; 2],
        part: Range<usize>,
        out: &mut [bf16],
    ) -> Result<(), LoadError> {
        let (dtype, bytes) = self.bytes(name, &[rows, cols])?;
        let row_len = bytes.len() / rows;
        let widened = self.widen(
            name,
            dtype,
            &bytes[part.start * row_len..part.end * row_len],
            &[part.len(), cols],
        )?;
        out.iter_mut()
            .zip(widened)
            .for_each(|(out, number)| *out = bf16::from_f32(number));
        Ok(())
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

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use candle_core::quantized::{QTensor, gguf_file};

    use super::*;

    const ROWS: usize = 19;
    const COLS: usize = 256;

    /// A file with one matrix of the given type, and what candle reads from it.
    fn file(dtype: GgmlDType) -> (Vec<u8>, Vec<f32>) {
        let weights: Vec<f32> = (0..ROWS * COLS)
            .map(|i| ((i * 7919) % 2003) as f32 / 1000.0 - 1.0)
            .collect();
        let tensor = Tensor::from_vec(weights, (ROWS, COLS), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, dtype).unwrap();
        let widened = tensor.dequantize(&Device::Cpu).unwrap();
        let mut file = Cursor::new(Vec::new());
        gguf_file::write(&mut file, &[], &[("w", &tensor)]).unwrap();
        (
            file.into_inner(),
            widened.flatten_all().unwrap().to_vec1().unwrap(),
        )
    }

    #[test]
    fn every_type_reads_as_candle_reads_it_and_the_rounded_ones_nearly() {
        let exact = [
            GgmlDType::F32,
            GgmlDType::F16,
            GgmlDType::BF16,
            GgmlDType::Q4_0,
            GgmlDType::Q4_1,
            GgmlDType::Q8_0,
        ];
        let rounded = [
            GgmlDType::Q5_0,
            GgmlDType::Q5_1,
            GgmlDType::Q2K,
            GgmlDType::Q3K,
            GgmlDType::Q4K,
            GgmlDType::Q5K,
            GgmlDType::Q6K,
        ];
        for dtype in exact.into_iter().chain(rounded) {
            let (file, expected) = file(dtype);
            let content = Content::read(&mut Cursor::new(&file)).unwrap();
            let tensors = GgufTensors::new(Path::new("test.gguf"), &content, &file);
            let matrix = tensors.matrix("w", ROWS, COLS).unwrap();
            // Half a step of 8 bits, of weights of at most 1.1; exact types may differ by the one rounding of a product and sum.
            let tolerance = if exact.contains(&dtype) {
                1e-6
            } else {
                1.1 / 250.0
            };
            let mut row = vec![0.0; COLS];
            for (index, expected) in expected.chunks_exact(COLS).enumerate() {
                matrix.row(index, &mut row);
                for (found, expected) in row.iter().zip(expected) {
                    assert!(
                        (found - expected).abs() <= tolerance,
                        "{dtype:?}: {found}, {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_wrong_shape_and_a_missing_tensor_are_named() {
        let (file, _) = file(GgmlDType::F32);
        let content = Content::read(&mut Cursor::new(&file)).unwrap();
        let tensors = GgufTensors::new(Path::new("test.gguf"), &content, &file);
        let error = |rows| tensors.matrix("w", rows, COLS).err().unwrap().to_string();
        assert!(
            error(ROWS + 1).contains("tensor w has shape [19, 256], the config asks for [20, 256]")
        );
        let error = tensors.vector("b", 3).unwrap_err().to_string();
        assert!(error.contains("tensor b is missing"), "{error}");
    }
}
