// One student that has found its direction and grows to its norm, by the literal algorithm, batch 1: how many runs are
// lost on the way.  Shares no code with the package.  Only z = x·v*, w = the sample's part along the student's own part
// across v*, and the squared length of the rest (chi-square of d - 2) enter, so that a step costs the same at any d.
//
//   cc -O3 growing_student.c -o growing_student -lm
//   ./growing_student k d share runs seed      sigma = h_k for k = 4 or 6, a = 1, share = eta over the ceiling
//
// Start: r² = 0.9, n = 1/50; length: 3 of flow time.  Prints a row of [growing] in tests/direct_sgd.toml; a run is
// lost whose norm exceeds 1e8.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static uint64_t state[4];

static uint64_t next_bits(void) {  // xoshiro256++
    uint64_t *s = state, sum = s[0] + s[3], result = ((sum << 23) | (sum >> 41)) + s[0], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3]; s[2] ^= t; s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
}

static double uniform(void) { return ((double)(next_bits() >> 11) + 0.5) * 0x1p-53; }

static void normals(double *one, double *two) {
    double u, v, q;
    do { u = 2 * uniform() - 1; v = 2 * uniform() - 1; q = u * u + v * v; } while (q >= 1);
    double f = sqrt(-2 * log(q) / q);
    *one = u * f; *two = v * f;
}

static double chi_square(double degrees, double normal) {  // Marsaglia and Tsang 2000
    double b = degrees / 2 - 1.0 / 3, c = 1 / sqrt(9 * b), spare;
    for (;; normals(&normal, &spare)) {
        double v = 1 + c * normal;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(uniform()) < normal * normal / 2 + b * (1 - v + log(v))) return 2 * b * v;
    }
}

static double value(int k, double z) {
    double q = z * z;
    return k == 4 ? ((q - 6) * q + 3) / sqrt(24) : (((q - 15) * q + 45) * q - 15) / sqrt(720);
}

static double slope(int k, double z) {
    double q = z * z;
    return k == 4 ? (4 * q - 12) * z / sqrt(24) : ((6 * q - 60) * q + 90) * z / sqrt(720);
}

int main(int count, char **argument) {
    if (count != 6) { fprintf(stderr, "k d share runs seed\n"); return 2; }
    int k = atoi(argument[1]), d = atoi(argument[2]), runs = atoi(argument[4]), lost = 0;
    uint64_t seed = strtoull(argument[5], 0, 10);
    for (int i = 0; i < 4; i++) {  // splitmix64
        uint64_t z = seed += 0x9e3779b97f4a7c15u;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u; z = (z ^ (z >> 27)) * 0x94d049bb133111ebu; state[i] = z ^ (z >> 31);
    }
    double fourth = 0, h = 1e-3;  // E slope⁴
    for (double z = -15; z < 15; z += h) fourth += pow(slope(k, z), 4) * exp(-z * z / 2) * h / sqrt(2 * M_PI);
    double eta = atof(argument[3]) * 2 * k / (d * fourth);  // E slope² = k
    long steps = (long)(3 / eta);
    for (int run = 0; run < runs; run++) {
        double n = 0.02, r = sqrt(0.9);
        for (long step = 0; step < steps && n < 1e8; step++) {
            double z, w, normal, spare;
            normals(&z, &w);
            normals(&normal, &spare);
            double u = r * z + sqrt(fmax(0, 1 - r * r)) * w, s = value(k, u), error = value(k, z) - n * s;
            double along = 1 + 2 * eta * error * s, across = eta * error * slope(k, u);
            double square = along * along + across * across * (z * z + w * w - u * u + chi_square(d - 2, normal));
            n *= square;
            r = (along * r + across * (z - u * r)) / sqrt(square);
        }
        lost += !(n < 1e8);
    }
    printf("    [\"h%d\", %d, %.15g, %d, %d],\n", k, d, eta, lost, runs);
    return 0;
}
