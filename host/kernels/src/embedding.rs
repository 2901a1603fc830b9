//! Rows of the embedding matrix for token ids.

use crate::cpu::Cpu;
use crate::matrix::Matrix;

/// Writes the row of `table` of each token to the rows of `out` (`table.cols()` long each). Panics if the shapes do not fit
/// or a token is not below `table.rows()`.
pub fn embedding(cpu: &Cpu, table: &Matrix, tokens: &[u32], out: &mut [f32]) {
    assert_eq!(
        out.len(),
        tokens.len() * table.cols(),
        "out has a row for each token"
    );
    cpu.for_each_row(out, table.cols(), |index, row| {
        table.row(tokens[index] as usize, row)
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_gets_its_row() {
        let weights: Vec<u8> = (0..20 * 3).flat_map(|i| (i as f32).to_le_bytes()).collect();
        let table = Matrix::from_f32(&weights, 20, 3).unwrap();
        let mut out = [0.0; 9];
        embedding(&Cpu::new(2), &table, &[19, 0, 7], &mut out);
        assert_eq!(out, [57.0, 58.0, 59.0, 0.0, 1.0, 2.0, 21.0, 22.0, 23.0]);
    }
}
