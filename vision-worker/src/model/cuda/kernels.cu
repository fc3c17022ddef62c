// What candle has no fast operation for on a CUDA device. Maps are [images, rows, columns, channels] of half-precision
// numbers; sums are in single precision. All channel counts are multiples of 16, so that loads are whole vectors.

#include <cuda_fp16.h>
#include <mma.h>
#include <stdint.h>

namespace {

__device__ __forceinline__ void load4(const __half *from, float to[4]) {
    const uint2 bits = *reinterpret_cast<const uint2 *>(from);
    const float2 low = __half22float2(*reinterpret_cast<const __half2 *>(&bits.x));
    const float2 high = __half22float2(*reinterpret_cast<const __half2 *>(&bits.y));
    to[0] = low.x, to[1] = low.y, to[2] = high.x, to[3] = high.y;
}

__device__ __forceinline__ void load4(const float *from, float to[4]) {
    const float4 bits = *reinterpret_cast<const float4 *>(from);
    to[0] = bits.x, to[1] = bits.y, to[2] = bits.z, to[3] = bits.w;
}

__device__ __forceinline__ void store4(const float from[4], __half *to) {
    uint2 bits;
    *reinterpret_cast<__half2 *>(&bits.x) = __floats2half2_rn(from[0], from[1]);
    *reinterpret_cast<__half2 *>(&bits.y) = __floats2half2_rn(from[2], from[3]);
    *reinterpret_cast<uint2 *>(to) = bits;
}

__device__ __forceinline__ void store4(const float from[4], float *to) {
    *reinterpret_cast<float4 *>(to) = make_float4(from[0], from[1], from[2], from[3]);
}

// A place of a map as near as there is one to `at`. What lies outside is read there and then not taken: loads without
// conditions are all under way at once.
__device__ __forceinline__ int nearest(int at, int count) { return min(max(at, 0), count - 1); }

// A slope of 0 is ReLU, one of 1 is nothing, others are PReLU.
__device__ __forceinline__ float activated(float value, float slope) { return value > 0.0f ? value : value * slope; }

// The first convolution: 3x3 with a border of one, from a picture's three colours to CHANNELS, with activation. A
// colour's value at (row, column) lies at colour * plane + (row * columns + column) * pixel. `weights` is
// [row, column, colour, CHANNELS]; `after` is the bias and then the slopes.
template <typename In, int CHANNELS, int STRIDE>
__device__ void stem(const In *in, int images, int rows, int columns, int out_rows, int out_columns, int plane,
                     int pixel, float mean, float scale, const float *weights, const float *after, __half *out) {
    __shared__ __align__(16) float kernel[27 * CHANNELS];
    for (int index = threadIdx.x; index < 27 * CHANNELS; index += blockDim.x) kernel[index] = weights[index];
    __syncthreads();
    const int64_t place = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (place >= int64_t(images) * out_rows * out_columns) return;
    const int x = place % out_columns, y = place / out_columns % out_rows;
    const In *image = in + place / out_columns / out_rows * rows * columns * 3;
    float sum[CHANNELS];
#pragma unroll
    for (int channel = 0; channel < CHANNELS; channel++) sum[channel] = after[channel];
    float seen[9][3];
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
        const int row = y * STRIDE + tap / 3 - 1, column = x * STRIDE + tap % 3 - 1;
        const int place = (nearest(row, rows) * columns + nearest(column, columns)) * pixel;
        const bool inside = row >= 0 && row < rows && column >= 0 && column < columns;
#pragma unroll
        for (int colour = 0; colour < 3; colour++) {
            const float value = (float(image[colour * plane + place]) - mean) * scale;
            seen[tap][colour] = inside ? value : 0.0f;
        }
    }
#pragma unroll
    for (int tap = 0; tap < 9; tap++) {
#pragma unroll
        for (int colour = 0; colour < 3; colour++) {
            const float value = seen[tap][colour];
#pragma unroll
            for (int channel = 0; channel < CHANNELS; channel += 4) {
                float weight[4];
                load4(kernel + (tap * 3 + colour) * CHANNELS + channel, weight);
#pragma unroll
                for (int four = 0; four < 4; four++) sum[channel + four] += value * weight[four];
            }
        }
    }
#pragma unroll
    for (int channel = 0; channel < CHANNELS; channel += 4) {
        float four[4];
#pragma unroll
        for (int index = 0; index < 4; index++)
            four[index] = activated(sum[channel + index], after[CHANNELS + channel + index]);
        store4(four, out + place * CHANNELS + channel);
    }
}

// A 3x3 depth-wise convolution with a border of one. What is read is activated first (`before`: bias, slopes), what is
// written afterwards (`after`), so that a matrix product before it needs no step of its own. `weights` is [9, channels].
// A thread computes TILE x TILE outputs of four channels.
template <int STRIDE, int TILE>
__device__ void depthwise(const __half *in, int images, int rows, int columns, int out_rows, int out_columns,
                          int channels, const float *before, const float *weights, const float *after, __half *out) {
    constexpr int SEEN = (TILE - 1) * STRIDE + 3;
    const int groups = channels / 4;
    const int across = (out_columns + TILE - 1) / TILE, down = (out_rows + TILE - 1) / TILE;
    int64_t rest = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (rest >= int64_t(images) * down * across * groups) return;
    const int channel = rest % groups * 4;
    rest /= groups;
    const int x = rest % across * TILE;
    rest /= across;
    const int y = rest % down * TILE;
    const int64_t image = rest / down;
    in += image * rows * columns * channels + channel;
    out += image * out_rows * out_columns * channels + channel;

    uint2 seen[SEEN][SEEN];
#pragma unroll
    for (int dy = 0; dy < SEEN; dy++) {
#pragma unroll
        for (int dx = 0; dx < SEEN; dx++) {
            const int row = nearest(y * STRIDE + dy - 1, rows), column = nearest(x * STRIDE + dx - 1, columns);
            seen[dy][dx] = *reinterpret_cast<const uint2 *>(in + (int64_t(row) * columns + column) * channels);
        }
    }
    float bias[4], slope[4], kernel[9][4], sum[TILE][TILE][4];
    load4(before + channel, bias);
    load4(before + channels + channel, slope);
#pragma unroll
    for (int tap = 0; tap < 9; tap++) load4(weights + tap * channels + channel, kernel[tap]);
#pragma unroll
    for (int tile = 0; tile < TILE * TILE; tile++) load4(after + channel, sum[tile / TILE][tile % TILE]);
#pragma unroll
    for (int dy = 0; dy < SEEN; dy++) {
#pragma unroll
        for (int dx = 0; dx < SEEN; dx++) {
            const int row = y * STRIDE + dy - 1, column = x * STRIDE + dx - 1;
            const bool inside = row >= 0 && row < rows && column >= 0 && column < columns;
            float value[4];
            load4(reinterpret_cast<const __half *>(&seen[dy][dx]), value);
#pragma unroll
            for (int four = 0; four < 4; four++)
                value[four] = inside ? activated(value[four] + bias[four], slope[four]) : 0.0f;
#pragma unroll
            for (int tile = 0; tile < TILE * TILE; tile++) {
                const int ky = dy - tile / TILE * STRIDE, kx = dx - tile % TILE * STRIDE;
                if (ky < 0 || ky > 2 || kx < 0 || kx > 2) continue;
#pragma unroll
                for (int four = 0; four < 4; four++)
                    sum[tile / TILE][tile % TILE][four] += value[four] * kernel[ky * 3 + kx][four];
            }
        }
    }
    load4(after + channels + channel, slope);
#pragma unroll
    for (int tile = 0; tile < TILE * TILE; tile++) {
        const int row = y + tile / TILE, column = x + tile % TILE;
        if (row >= out_rows || column >= out_columns) continue;
        float *four = sum[tile / TILE][tile % TILE];
#pragma unroll
        for (int index = 0; index < 4; index++) four[index] = activated(four[index], slope[index]);
        store4(four, out + (int64_t(row) * out_columns + column) * channels);
    }
}

// How `unit` writes its result.
enum Result { WHOLE = 0, HALVED = 1, SINGLE = 2 };

constexpr int UNIT_THREADS = 256;
constexpr int SIDE = 16;  // of the matrices that a warp multiplies at once

// A 1x1 convolution with bias, then a 3x3 depth-wise one with a border of one and activation, without a way through
// device memory in between. A block computes an area of ACROSS x DOWN outputs: it reads what they see into shared
// memory, multiplies it by `pointwise` ([inputs, outputs]) a warp at a time, and convolves the product.
//
// `coarser`, where there is one, is a map of half the size whose every pixel is added to four of `in`. `result` is a
// half-precision map, the maxima of its 2x2 areas (of an even number of rows and columns), or single-precision numbers.
template <int INPUTS, int OUTPUTS>
__device__ void unit(const __half *in, const __half *coarser, int rows, int columns, const __half *pointwise,
                     const float *bias, const float *depthwise, const float *after, int result, void *out) {
    using namespace nvcuda;
    constexpr int ACROSS = INPUTS == 16 && OUTPUTS == 16 ? 32 : 16, DOWN = 8;
    constexpr int SEEN_ACROSS = ACROSS + 2, SEEN = SEEN_ACROSS * (DOWN + 2);
    constexpr int WARPS = UNIT_THREADS / 32;
    constexpr int TILES = (SEEN + SIDE - 1) / SIDE, OWN_TILES = (TILES + WARPS - 1) / WARPS;
    // Rows a little apart lie in different banks.
    constexpr int INPUT_ROW = INPUTS + 8, PRODUCT_ROW = OUTPUTS + 8;
    constexpr int WIDER_ROW = INPUT_ROW > PRODUCT_ROW ? INPUT_ROW : PRODUCT_ROW;
    // First the inputs, later the products.
    __shared__ __align__(32) __half seen[TILES * SIDE * WIDER_ROW];
    __shared__ __align__(32) float staged[WARPS][SIDE * SIDE];

    const int left = blockIdx.x * ACROSS - 1, top = blockIdx.y * DOWN - 1;
    const int64_t image = blockIdx.z;
    in += image * rows * columns * INPUTS;
    if (coarser != nullptr) coarser += image * (rows / 2) * (columns / 2) * INPUTS;

    // Eight channels at a time.
    constexpr int PIECES = TILES * SIDE * (INPUTS / 8), LOADS = (PIECES + UNIT_THREADS - 1) / UNIT_THREADS;
    uint4 loaded[LOADS];
#pragma unroll
    for (int load = 0; load < LOADS; load++) {
        const int piece = threadIdx.x + load * UNIT_THREADS, at = piece / (INPUTS / 8);
        const int row = nearest(top + at / SEEN_ACROSS, rows), column = nearest(left + at % SEEN_ACROSS, columns);
        const int channel = piece % (INPUTS / 8) * 8;
        loaded[load] = *reinterpret_cast<const uint4 *>(in + (int64_t(row) * columns + column) * INPUTS + channel);
    }
#pragma unroll
    for (int load = 0; load < LOADS; load++) {
        const int piece = threadIdx.x + load * UNIT_THREADS, at = piece / (INPUTS / 8);
        if (piece >= PIECES) continue;
        const int row = top + at / SEEN_ACROSS, column = left + at % SEEN_ACROSS, channel = piece % (INPUTS / 8) * 8;
        const bool inside = at < SEEN && row >= 0 && row < rows && column >= 0 && column < columns;
        __half *values = reinterpret_cast<__half *>(&loaded[load]);
        if (inside && coarser != nullptr) {
            const __half *more = coarser + (int64_t(row / 2) * (columns / 2) + column / 2) * INPUTS + channel;
#pragma unroll
            for (int half = 0; half < 8; half += 4) {
                float value[4], addend[4];
                load4(values + half, value);
                load4(more + half, addend);
#pragma unroll
                for (int four = 0; four < 4; four++) value[four] += addend[four];
                store4(value, values + half);
            }
        }
        *reinterpret_cast<uint4 *>(seen + at * INPUT_ROW + channel) = inside ? loaded[load] : make_uint4(0, 0, 0, 0);
    }
    __syncthreads();

    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    wmma::fragment<wmma::accumulator, SIDE, SIDE, SIDE, float> product[OWN_TILES][OUTPUTS / SIDE];
#pragma unroll
    for (int across = 0; across < OUTPUTS / SIDE; across++) {
        wmma::fragment<wmma::matrix_b, SIDE, SIDE, SIDE, __half, wmma::row_major> weight[INPUTS / SIDE];
#pragma unroll
        for (int depth = 0; depth < INPUTS / SIDE; depth++)
            wmma::load_matrix_sync(weight[depth], pointwise + depth * SIDE * OUTPUTS + across * SIDE, OUTPUTS);
#pragma unroll
        for (int own = 0; own < OWN_TILES; own++) {
            wmma::fill_fragment(product[own][across], 0.0f);
            const int tile = warp + own * WARPS;
            if (tile >= TILES) continue;
#pragma unroll
            for (int depth = 0; depth < INPUTS / SIDE; depth++) {
                wmma::fragment<wmma::matrix_a, SIDE, SIDE, SIDE, __half, wmma::row_major> value;
                wmma::load_matrix_sync(value, seen + tile * SIDE * INPUT_ROW + depth * SIDE, INPUT_ROW);
                wmma::mma_sync(product[own][across], value, weight[depth], product[own][across]);
            }
        }
    }
    __syncthreads();
#pragma unroll
    for (int own = 0; own < OWN_TILES; own++) {
        const int tile = warp + own * WARPS;
        if (tile >= TILES) continue;
#pragma unroll
        for (int across = 0; across < OUTPUTS / SIDE; across++) {
            wmma::store_matrix_sync(staged[warp], product[own][across], SIDE, wmma::mem_row_major);
            __syncwarp();
            for (int index = lane; index < SIDE * SIDE / 4; index += 32) {
                const int at = tile * SIDE + index / 4, channel = across * SIDE + index % 4 * 4;
                const int row = top + at / SEEN_ACROSS, column = left + at % SEEN_ACROSS;
                float value[4] = {0.0f, 0.0f, 0.0f, 0.0f};
                // The border of the second convolution is of zeros, not of biases.
                if (row >= 0 && row < rows && column >= 0 && column < columns) {
                    load4(bias + channel, value);
#pragma unroll
                    for (int four = 0; four < 4; four++) value[four] += staged[warp][index * 4 + four];
                }
                store4(value, seen + at * PRODUCT_ROW + channel);
            }
            __syncwarp();
        }
    }
    __syncthreads();

    for (int index = threadIdx.x; index < ACROSS / 2 * (DOWN / 2) * (OUTPUTS / 4); index += UNIT_THREADS) {
        const int channel = index % (OUTPUTS / 4) * 4;
        const int x = index / (OUTPUTS / 4) % (ACROSS / 2) * 2, y = index / (OUTPUTS / 4) / (ACROSS / 2) * 2;
        const int row = top + 1 + y, column = left + 1 + x;
        if (row >= rows || column >= columns) continue;
        float kernel[9][4], sum[4][4], slope[4];
#pragma unroll
        for (int tap = 0; tap < 9; tap++) load4(depthwise + tap * OUTPUTS + channel, kernel[tap]);
#pragma unroll
        for (int tile = 0; tile < 4; tile++) load4(after + channel, sum[tile]);
#pragma unroll
        for (int dy = 0; dy < 4; dy++) {
#pragma unroll
            for (int dx = 0; dx < 4; dx++) {
                float value[4];
                load4(seen + ((y + dy) * SEEN_ACROSS + x + dx) * PRODUCT_ROW + channel, value);
#pragma unroll
                for (int tile = 0; tile < 4; tile++) {
                    const int ky = dy - tile / 2, kx = dx - tile % 2;
                    if (ky < 0 || ky > 2 || kx < 0 || kx > 2) continue;
#pragma unroll
                    for (int four = 0; four < 4; four++) sum[tile][four] += value[four] * kernel[ky * 3 + kx][four];
                }
            }
        }
        load4(after + OUTPUTS + channel, slope);
#pragma unroll
        for (int tile = 0; tile < 4; tile++)
#pragma unroll
            for (int four = 0; four < 4; four++) sum[tile][four] = activated(sum[tile][four], slope[four]);
        if (result == HALVED) {
            float most[4];
#pragma unroll
            for (int four = 0; four < 4; four++)
                most[four] = fmaxf(fmaxf(sum[0][four], sum[1][four]), fmaxf(sum[2][four], sum[3][four]));
            const int64_t at = (image * (rows / 2) + row / 2) * (columns / 2) + column / 2;
            store4(most, static_cast<__half *>(out) + at * OUTPUTS + channel);
            continue;
        }
#pragma unroll
        for (int tile = 0; tile < 4; tile++) {
            if (row + tile / 2 >= rows || column + tile % 2 >= columns) continue;
            const int64_t at = (image * rows + row + tile / 2) * columns + column + tile % 2;
            if (result == SINGLE) {
                store4(sum[tile], static_cast<float *>(out) + at * OUTPUTS + channel);
            } else {
                store4(sum[tile], static_cast<__half *>(out) + at * OUTPUTS + channel);
            }
        }
    }
}

// Which pixels of an axis make one of a smaller picture, and how much the first, the others and the last count.
struct Span {
    int start, end;
    double left, right, ratio;

    __device__ Span(int index, int from, int to) {
        ratio = double(from) / double(to);
        left = index * ratio, right = (index + 1) * ratio;
        start = int(floor(left));
        end = min(max(int(ceil(right)), start + 1), from);
    }

    __device__ float weight(int pixel) const {
        const double covered = fmin(right, double(pixel + 1)) - fmax(left, double(pixel));
        return float(fmax(covered, 0.0) / ratio);
    }
};

__device__ __forceinline__ float sigmoid(float value) { return 1.0f / (1.0f + expf(-value)); }

}  // namespace

extern "C" __global__ void stem_of_pictures(const uint8_t *in, int images, int rows, int columns, int out_rows,
                                            int out_columns, const float *weights, const float *after, __half *out) {
    stem<uint8_t, 16, 2>(in, images, rows, columns, out_rows, out_columns, 1, 3, 0.0f, 1.0f, weights, after, out);
}

extern "C" __global__ void stem_of_crops(const float *in, int images, int rows, int columns, float mean, float scale,
                                         const float *weights, const float *after, __half *out) {
    stem<float, 32, 1>(in, images, rows, columns, rows, columns, rows * columns, 1, mean, scale, weights, after, out);
}

extern "C" __global__ void depthwise_1(const __half *in, int images, int rows, int columns, int out_rows,
                                       int out_columns, int channels, const float *before, const float *weights,
                                       const float *after, __half *out) {
    depthwise<1, 2>(in, images, rows, columns, out_rows, out_columns, channels, before, weights, after, out);
}

extern "C" __global__ void depthwise_2(const __half *in, int images, int rows, int columns, int out_rows,
                                       int out_columns, int channels, const float *before, const float *weights,
                                       const float *after, __half *out) {
    depthwise<2, 1>(in, images, rows, columns, out_rows, out_columns, channels, before, weights, after, out);
}

// So many blocks share a multiprocessor: without a word about that the compiler takes registers for two.
#define UNIT(inputs, outputs)                                                                                        \
    extern "C" __global__ void __launch_bounds__(UNIT_THREADS, (outputs) == 64 ? 3 : 4) unit_##inputs##_##outputs(   \
        const __half *in, const __half *coarser, int has_coarser, int rows, int columns, const __half *pointwise,    \
        const float *bias, const float *depthwise, const float *after, int result, void *out) {                      \
        unit<inputs, outputs>(in, has_coarser ? coarser : nullptr, rows, columns, pointwise, bias, depthwise, after, \
                              result, out);                                                                          \
    }

UNIT(16, 16)
UNIT(16, 32)
UNIT(16, 64)
UNIT(32, 16)
UNIT(32, 32)
UNIT(32, 64)
UNIT(64, 16)
UNIT(64, 32)
UNIT(64, 64)

// The maxima of a map's 2x2 areas.
extern "C" __global__ void halve(const __half *in, int images, int rows, int columns, int channels, __half *out) {
    const int groups = channels / 4, across = columns / 2, down = rows / 2;
    int64_t rest = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (rest >= int64_t(images) * down * across * groups) return;
    const int64_t place = rest * 4;
    const int channel = rest % groups * 4;
    rest /= groups;
    const int x = rest % across * 2;
    rest /= across;
    const int64_t row = rest / down * rows + rest % down * 2;
    float most[4];
    load4(in + (row * columns + x) * channels + channel, most);
    for (int other = 1; other < 4; other++) {
        float value[4];
        load4(in + ((row + other / 2) * columns + x + other % 2) * channels + channel, value);
        for (int four = 0; four < 4; four++) most[four] = fmaxf(most[four], value[four]);
    }
    store4(most, out + place);
}

// A bias added and an activation, for what no convolution follows.
extern "C" __global__ void activate(const __half *in, int64_t pixels, int channels, const float *after, __half *out) {
    const int groups = channels / 4;
    const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= pixels * groups) return;
    const int channel = index % groups * 4;
    float value[4], bias[4], slope[4];
    load4(in + index * 4, value);
    load4(after + channel, bias);
    load4(after + channels + channel, slope);
    for (int four = 0; four < 4; four++) value[four] = activated(value[four] + bias[four], slope[four]);
    store4(value, out + index * 4);
}

// Smaller pictures, each pixel the mean of the area that it covers.
extern "C" __global__ void shrink(const uint8_t *in, int images, int rows, int columns, int out_rows, int out_columns,
                                  uint8_t *out) {
    const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= int64_t(images) * out_rows * out_columns) return;
    const Span across(index % out_columns, columns, out_columns), down(index / out_columns % out_rows, rows, out_rows);
    const uint8_t *image = in + index / out_columns / out_rows * rows * columns * 3;
    float pixel[3] = {0.5f, 0.5f, 0.5f};
    for (int x = across.start; x < across.end; x++) {
        const float share = across.weight(x);
        float low[3] = {0.0f, 0.0f, 0.0f};
        for (int y = down.start; y < down.end; y++) {
            const float weight = down.weight(y);
            const uint8_t *colours = image + (int64_t(y) * columns + x) * 3;
            for (int colour = 0; colour < 3; colour++) low[colour] += weight * float(colours[colour]);
        }
        for (int colour = 0; colour < 3; colour++) pixel[colour] += share * low[colour];
    }
    for (int colour = 0; colour < 3; colour++) out[index * 3 + colour] = uint8_t(pixel[colour]);
}

// The cells of a level whose score is at least `least`, in no order: for each image `room` records of RECORD numbers, the
// level and a cell's place (a whole number's bits), and what the network says of it. The first record's first number is
// how many cells there were, of all levels; those beyond the room are missing.
extern "C" __global__ void candidates(const float *cells, int images, int count, int level, float least, int room,
                                      float *out) {
    constexpr int RECORD = 18;
    const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= int64_t(images) * count) return;
    const float *cell = cells + index * 16;
    // Neither is true of what is no number.
    if (!(sqrtf(sigmoid(cell[0]) * sigmoid(cell[1])) >= least)) return;
    float *records = out + index / count * (room + 1) * RECORD;
    const int place = atomicAdd(reinterpret_cast<int *>(records), 1);
    if (place >= room) return;
    float *record = records + int64_t(place + 1) * RECORD;
    record[0] = __int_as_float(level);
    record[1] = __int_as_float(int(index % count));
    for (int number = 0; number < 16; number++) record[2 + number] = cell[number];
}

// Crops of CROP x CROP pixels. A face is FACE numbers: its picture, the similarity that takes a crop's pixel into it
// (a, b, dx, dy), and the samples along each side of a pixel.
namespace {

constexpr int CROP = 112;
constexpr int FACE = 6;

struct Place {
    float a, b, dx, dy;

    __device__ explicit Place(const float *face) : a(face[1]), b(face[2]), dx(face[3]), dy(face[4]) {}
    __device__ float x(float column, float row) const { return a * column - b * row + dx; }
    __device__ float y(float column, float row) const { return b * column + a * row + dy; }
};

// Adds the colour between four pixels; black outside of the picture.
__device__ void add_bilinear(const uint8_t *picture, int rows, int columns, float x, float y, float sum[3]) {
    const float left = floorf(x), top = floorf(y);
    const float right_share = x - left, bottom_share = y - top;
    for (int corner = 0; corner < 4; corner++) {
        const float column = left + corner % 2, row = top + corner / 2;
        if (!(column >= 0.0f && row >= 0.0f && column < columns && row < rows)) continue;
        const float share = (corner % 2 ? right_share : 1.0f - right_share) *
                            (corner / 2 ? bottom_share : 1.0f - bottom_share);
        const uint8_t *colours = picture + (int64_t(row) * columns + int(column)) * 3;
        for (int colour = 0; colour < 3; colour++) sum[colour] += share * float(colours[colour]);
    }
}

}  // namespace

// Cuts faces out of pictures, as three planes each, red, green and blue.
extern "C" __global__ void cut(const uint8_t *pictures, int rows, int columns, const float *faces, int count,
                               float *crops) {
    const int64_t index = int64_t(blockIdx.x) * blockDim.x + threadIdx.x;
    if (index >= int64_t(count) * CROP * CROP) return;
    const float *face = faces + index / (CROP * CROP) * FACE;
    const int pixel = index % (CROP * CROP);
    const uint8_t *picture = pictures + int64_t(face[0]) * rows * columns * 3;
    const Place place(face);
    const int samples = int(face[5]);
    float sum[3] = {0.0f, 0.0f, 0.0f};
    for (int sample = 0; sample < samples * samples; sample++) {
        const float column = pixel % CROP + (sample % samples + 0.5f) / samples - 0.5f;
        const float row = pixel / CROP + (sample / samples + 0.5f) / samples - 0.5f;
        add_bilinear(picture, rows, columns, place.x(column, row), place.y(column, row), sum);
    }
    float *crop = crops + index / (CROP * CROP) * 3 * CROP * CROP + pixel;
    for (int colour = 0; colour < 3; colour++) crop[colour * CROP * CROP] = sum[colour] / float(samples * samples);
}

// Four numbers of each crop, a block for each: variance of the Laplacian of its brightness; mean brightness and mean
// distance between the strongest and the weakest primary colour in the middle of the face; share inside the picture.
extern "C" __global__ void measure(const float *crops, const float *faces, int rows, int columns, float *out) {
    // As align.rs has the middle, and Rec. 601 the weights.
    constexpr int LEFT = 25, RIGHT = 87, TOP = 20, BOTTOM = 100;
    constexpr int SUMS = 5;
    const float *red = crops + int64_t(blockIdx.x) * 3 * CROP * CROP, *green = red + CROP * CROP,
                *blue = green + CROP * CROP;
    const auto grey = [&](int at) { return 0.299f * red[at] + 0.587f * green[at] + 0.114f * blue[at]; };
    const Place place(faces + blockIdx.x * FACE);
    float sums[SUMS] = {0.0f, 0.0f, 0.0f, 0.0f, 0.0f};
    for (int at = threadIdx.x; at < CROP * CROP; at += blockDim.x) {
        const int x = at % CROP, y = at / CROP;
        if (x > 0 && x < CROP - 1 && y > 0 && y < CROP - 1) {
            const float value = grey(at - 1) + grey(at + 1) + grey(at - CROP) + grey(at + CROP) - 4.0f * grey(at);
            sums[0] += value, sums[1] += value * value;
        }
        if (x >= LEFT && x < RIGHT && y >= TOP && y < BOTTOM) {
            sums[2] += grey(at);
            sums[3] += fmaxf(fmaxf(red[at], green[at]), blue[at]) - fminf(fminf(red[at], green[at]), blue[at]);
        }
        const float column = place.x(x, y), row = place.y(x, y);
        if (column >= -0.5f && column < columns - 0.5f && row >= -0.5f && row < rows - 0.5f) sums[4] += 1.0f;
    }
    __shared__ double totals[SUMS];
    if (threadIdx.x < SUMS) totals[threadIdx.x] = 0.0;
    __syncthreads();
    for (int sum = 0; sum < SUMS; sum++) {
        for (int lanes = 16; lanes > 0; lanes /= 2) sums[sum] += __shfl_down_sync(~0u, sums[sum], lanes);
        if (threadIdx.x % 32 == 0) atomicAdd(&totals[sum], double(sums[sum]));
    }
    __syncthreads();
    if (threadIdx.x > 0) return;
    constexpr double INNER = (CROP - 2) * (CROP - 2), MIDDLE = (RIGHT - LEFT) * (BOTTOM - TOP);
    const double mean = totals[0] / INNER;
    float *numbers = out + blockIdx.x * 4;
    numbers[0] = float(totals[1] / INNER - mean * mean);
    numbers[1] = float(totals[2] / MIDDLE), numbers[2] = float(totals[3] / MIDDLE);
    numbers[3] = float(totals[4] / (CROP * CROP));
}
