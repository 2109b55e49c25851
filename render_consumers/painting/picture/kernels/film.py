"""From light to the bytes of a picture."""

import warp as wp

# Unrolled, the loops over parts would take a minute to compile.
wp.set_module_options({"max_unroll": 0, "enable_backward": False})


@wp.func
def encoded(light: float):
    """The sRGB share of linear light."""
    x = wp.clamp(light, 0.0, 1.0)
    if x <= 0.0031308:
        return 12.92 * x
    return 1.055 * wp.pow(x, 1.0 / 2.4) - 0.055


@wp.kernel
def develop(
    light: wp.array[wp.vec3],
    share: wp.array[float],
    starts: wp.array2d[wp.int64],
    left: int,
    right: int,
    top: int,
    bottom: int,
    width: int,
    first: int,
    backdrop: wp.vec3,
    dark: wp.array[float],
    picture: wp.array2d[wp.uint8],
):
    """Mix the parts of each pixel from ``first`` on in linear light, over the backdrop."""
    pixel = first + wp.tid()
    column, row = pixel % width, pixel // width
    colour = (1.0 - dark[pixel]) * backdrop
    if column >= left and column < right and row >= top and row < bottom:
        place = (row - top) * (right - left) + column - left
        covered = float(0.0)
        shown = wp.vec3(0.0, 0.0, 0.0)
        for part in range(int(starts[place, 1]), int(starts[place + 1, 1])):
            shown += share[part] * light[part]
            covered += share[part]
        colour = shown + (1.0 - covered) * colour
    for channel in range(3):
        picture[pixel, channel] = wp.uint8(encoded(colour[channel]) * 255.0 + 0.5)
