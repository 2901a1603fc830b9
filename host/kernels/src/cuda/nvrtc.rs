//! Compiling kernels on the GPU machine.

use std::{
    ffi::{CString, c_char},
    ptr::null_mut,
};

use cudarc::nvrtc::sys;

use super::{
    CudaError, Libraries,
    image::{HEADERS, Module},
};

/// Machine code of a module for a card of compute capability `major.minor`.
#[allow(unsafe_code, reason = "calls NVRTC")]
pub(super) fn compile(module: &Module, (major, minor): (u32, u32)) -> Result<Vec<u8>, CudaError> {
    if !Libraries::find().nvrtc {
        return Err(CudaError::MissingLibrary {
            name: "libnvrtc.so.13",
            purpose: "compiling the kernels, as this program was built without nvcc",
            remedy: "`pip install nvidia-cuda-nvrtc==13.0.88` and set HOST_CUDA_LIBRARIES to its nvidia/cu13/lib, or build the program where nvcc is",
        });
    }
    let variant = if module.is_hopper_only { "a" } else { "" };
    let arguments = [
        format!("--gpu-architecture=sm_{major}{minor}{variant}"),
        "--std=c++17".into(),
    ]
    .map(c_string);
    let arguments: Vec<*const c_char> =
        arguments.iter().map(|argument| argument.as_ptr()).collect();
    let (source, name) = (
        c_string(module.source),
        c_string(format!("{}.cu", module.name)),
    );
    let headers: Vec<_> = HEADERS
        .iter()
        .map(|(name, text)| (c_string(*name), c_string(*text)))
        .collect();
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_ptr()).collect();
    let texts: Vec<_> = headers.iter().map(|(_, text)| text.as_ptr()).collect();
    let failed = |log: String| CudaError::Compile {
        module: module.name,
        log,
    };
    let check = |result: sys::nvrtcResult| match result {
        sys::nvrtcResult::NVRTC_SUCCESS => Ok(()),
        other => Err(failed(format!("{other:?}"))),
    };
    // SAFETY: every pointer is to a C string or an array of them that lives to the end of this function, with its true length;
    // outputs are read in the lengths that NVRTC gives for them.
    unsafe {
        let mut program = null_mut();
        check(sys::nvrtcCreateProgram(
            &mut program,
            source.as_ptr(),
            name.as_ptr(),
            headers.len() as i32,
            texts.as_ptr(),
            names.as_ptr(),
        ))?;
        let compiled =
            sys::nvrtcCompileProgram(program, arguments.len() as i32, arguments.as_ptr());
        let mut len = 0;
        let code = if compiled == sys::nvrtcResult::NVRTC_SUCCESS {
            check(sys::nvrtcGetCUBINSize(program, &mut len)).and_then(|()| {
                let mut code = vec![0u8; len];
                check(sys::nvrtcGetCUBIN(program, code.as_mut_ptr().cast()))?;
                Ok(code)
            })
        } else {
            let mut log = Vec::new();
            if check(sys::nvrtcGetProgramLogSize(program, &mut len)).is_ok() {
                log.resize(len, 0u8);
                let _ = sys::nvrtcGetProgramLog(program, log.as_mut_ptr().cast());
            }
            Err(failed(String::from_utf8_lossy(&log).into_owned()))
        };
        sys::nvrtcDestroyProgram(&mut program);
        code
    }
}

fn c_string(text: impl Into<String>) -> CString {
    CString::new(text.into()).expect("our own texts hold no NUL")
}
