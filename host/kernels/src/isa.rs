//! Which vector instructions this machine has, found at run time: one binary serves every CPU of its architecture.

/// An instruction set that was found on this machine. The proof that functions compiled for it may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Isa(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// AVX-512 F, BW and VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// Whatever the compiler targets.
    Plain,
}

impl Isa {
    /// The best of this machine.
    pub fn detect() -> Self {
        Self::supported()[0]
    }

    /// All that run on this machine, best first; never empty.
    pub fn supported() -> Vec<Self> {
        let mut found = Vec::with_capacity(3);
        #[cfg(target_arch = "x86_64")]
        {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni");
            if avx2 && avx512 {
                found.push(Self(Kind::Avx512));
            }
            if avx2 {
                found.push(Self(Kind::Avx2));
            }
        }
        found.push(Self(Kind::Plain));
        found
    }

    /// Its name, for logs.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => "avx2",
            Kind::Plain => "plain",
        }
    }

    /// Rows of sixteen sums that its registers hold beside their inputs.
    pub(crate) fn max_rows(self) -> usize {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Kind::Avx512 => 8,
            #[cfg(target_arch = "x86_64")]
            Kind::Avx2 => 4,
            Kind::Plain => 4,
        }
    }

    pub(crate) fn kind(self) -> Kind {
        self.0
    }
}

/// Defines `$name(isa, ...)`, which runs the `#[inline(always)]` function `$body` compiled for `isa`.
macro_rules! for_each_isa {
    ($(#[$meta:meta])* $vis:vis fn $name:ident $(<const $q:ident: usize>)? ($($arg:ident: $ty:ty),* $(,)?) = $body:path) => {
        $(#[$meta])*
        #[allow(unsafe_code, reason = "target-feature functions may be called only on machines that have the features")]
        $vis fn $name $(<const $q: usize>)? (isa: $crate::isa::Isa, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f,avx512bw,avx512vnni,avx2,fma,f16c")]
                fn avx512 $(<const $q: usize>)? ($($arg: $ty),*) {
                    $body($($arg),*)
                }
                #[target_feature(enable = "avx2,fma,f16c")]
                fn avx2 $(<const $q: usize>)? ($($arg: $ty),*) {
                    $body($($arg),*)
                }
                match isa.kind() {
                    // SAFETY: an `Isa` of this kind exists only where `Isa::supported` detected these features.
                    $crate::isa::Kind::Avx512 => return unsafe { avx512($($arg),*) },
                    // SAFETY: as above.
                    $crate::isa::Kind::Avx2 => return unsafe { avx2($($arg),*) },
                    $crate::isa::Kind::Plain => {}
                }
            }
            let _ = isa;
            $body($($arg),*)
        }
    };
}
pub(crate) use for_each_isa;
