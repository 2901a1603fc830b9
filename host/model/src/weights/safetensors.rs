//! Weights from safetensors files, whole or in pieces.

use std::ops::Range;
use std::path::{Path, PathBuf};

use candle_core::DType;
use candle_core::safetensors::MmapedSafetensors;
use half::{bf16, f16};
use kernels::Matrix;

use super::{Bf16Tensors, Naming, Tensors};
use crate::error::LoadError;
use crate::files::read_json;

/// The safetensors files of a folder, mapped.
pub(crate) struct SafetensorsTensors {
    folder: PathBuf,
    files: MmapedSafetensors,
}

impl SafetensorsTensors {
    #[allow(unsafe_code, reason = "mapped files")]
    pub(crate) fn open(folder: &Path) -> Result<Self, LoadError> {
        let paths = file_paths(folder)?;
        // SAFETY: the mappings are read-only; model files must not be changed in place while they are loaded.
        let files = unsafe { MmapedSafetensors::multi(&paths) };
        Ok(Self {
            folder: folder.to_owned(),
            files: files.map_err(|error| LoadError::malformed(folder, error))?,
        })
    }

    /// The type and bytes of a tensor of the given shape.
    fn bytes(&self, name: &str, expected: &[usize]) -> Result<(DType, &[u8]), LoadError> {
        let missing = || LoadError::MissingTensor {
            path: self.folder.clone(),
            name: name.to_owned(),
        };
        let view = self.files.get(name).map_err(|_| missing())?;
        if view.shape() != expected {
            return Err(LoadError::WrongShape {
                path: self.folder.clone(),
                name: name.to_owned(),
                found: view.shape().to_vec(),
                expected: expected.to_vec(),
            });
        }
        let dtype =
            DType::try_from(view.dtype()).map_err(|_| self.unsupported(name, view.dtype()))?;
        Ok((dtype, view.data()))
    }

    fn unsupported(&self, name: &str, dtype: impl std::fmt::Debug) -> LoadError {
        LoadError::unsupported(
            &self.folder,
            format!("type of tensor {name}"),
            format!("{dtype:?}"),
            "bf16, f16, f32",
        )
    }
}

/// The pieces that the index names, or the one file.
fn file_paths(folder: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let index_path = folder.join("model.safetensors.index.json");
    let Some(index) = read_json(&index_path)? else {
        let path = folder.join("model.safetensors");
        let needed = "model.safetensors, or pieces with a model.safetensors.index.json";
        return if path.is_file() {
            Ok(vec![path])
        } else {
            Err(LoadError::Missing { path, needed })
        };
    };
    let map = index["weight_map"].as_object();
    let map = map.ok_or_else(|| LoadError::malformed(&index_path, "weight_map is missing"))?;
    let mut names: Vec<&str> = map.values().filter_map(serde_json::Value::as_str).collect();
    names.sort_unstable();
    names.dedup();
    // A name with a path in it could leave the folder.
    if let Some(name) = names
        .iter()
        .find(|name| Path::new(name).components().count() != 1 || name.starts_with(".."))
    {
        return Err(LoadError::malformed(
            &index_path,
            format!("{name:?} is not a file name"),
        ));
    }
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

impl Tensors for SafetensorsTensors {
    fn naming(&self) -> Naming {
        Naming::HuggingFace
    }

    fn matrix(&self, name: &str, rows: usize, cols: usize) -> Result<Matrix, LoadError> {
        let (dtype, bytes) = self.bytes(name, &[rows, cols])?;
        let matrix = match dtype {
            DType::BF16 => Matrix::from_bf16(bytes, rows, cols),
            DType::F16 => Matrix::from_f16(bytes, rows, cols),
            DType::F32 => Matrix::from_f32(bytes, rows, cols),
            other => return Err(self.unsupported(name, other)),
        };
        matrix
            .map_err(|error| LoadError::malformed(&self.folder, format!("tensor {name}: {error}")))
    }

    fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, LoadError> {
        let (dtype, bytes) = self.bytes(name, &[len])?;
        match dtype {
            DType::BF16 => Ok(pairs(bytes)
                .map(|pair| half::bf16::from_le_bytes(*pair).to_f32())
                .collect()),
            DType::F16 => Ok(pairs(bytes)
                .map(|pair| half::f16::from_le_bytes(*pair).to_f32())
                .collect()),
            DType::F32 => Ok(bytes
                .as_chunks()
                .0
                .iter()
                .map(|bytes| f32::from_le_bytes(*bytes))
                .collect()),
            other => Err(self.unsupported(name, other)),
        }
    }
}

impl Bf16Tensors for SafetensorsTensors {
    fn bf16_rows(
        &self,
        name: &str,
        [rows, cols]: [usize; 2],
        part: Range<usize>,
        out: &mut [bf16],
    ) -> Result<(), LoadError> {
        let (dtype, bytes) = self.bytes(name, &[rows, cols])?;
        let numbers = part.start * cols..part.end * cols;
        match dtype {
            DType::BF16 => {
                let halves = bytes.as_chunks().0[numbers].iter();
                halves
                    .zip(out)
                    .for_each(|(pair, out)| *out = bf16::from_le_bytes(*pair));
            }
            DType::F16 => {
                let halves = bytes.as_chunks().0[numbers].iter();
                halves.zip(out).for_each(|(pair, out)| {
                    *out = bf16::from_f32(f16::from_le_bytes(*pair).to_f32())
                });
            }
            DType::F32 => {
                let floats = bytes.as_chunks().0[numbers].iter();
                floats
                    .zip(out)
                    .for_each(|(bytes, out)| *out = bf16::from_f32(f32::from_le_bytes(*bytes)));
            }
            other => return Err(self.unsupported(name, other)),
        }
        Ok(())
    }
}

fn pairs(bytes: &[u8]) -> std::slice::Iter<'_, [u8; 2]> {
    bytes.as_chunks().0.iter()
}
