"""The least that a ray tracer would do, as warp compiles it."""

import warp as wp


@wp.kernel(enable_backward=False)
def cast_rays(
    mesh: wp.uint64,
    eye: wp.vec3,
    middle: wp.vec3,
    metres: float,
    width: int,
    height: int,
    first: int,
    seen: wp.array[wp.int32],
):
    """Sixteen rays through a pixel: which triangle the last of them meets."""
    pixel = first + wp.tid()
    for sample in range(16):
        x = float(pixel % width) + (float(sample % 4) + 0.5) / 4.0 - float(width) / 2.0
        y = float(pixel // width) + (float(sample // 4) + 0.5) / 4.0 - float(height) / 2.0
        through = middle + wp.vec3(x * metres, 0.0, -y * metres)
        query = wp.mesh_query_ray(mesh, eye, wp.normalize(through - eye), 1.0e6)
        seen[wp.tid()] = query.face
