"""What warp compiles: how cloth falls, is held together, meets a body, and what it covers."""

import warp as wp

wp.set_module_options({"enable_backward": False})


@wp.kernel
def fall(
    place: wp.array(dtype=wp.vec3),
    before: wp.array(dtype=wp.vec3),
    speed: wp.array(dtype=wp.vec3),
    keep: float,
    step: float,
    gravity: float,
):
    i = wp.tid()
    before[i] = place[i]
    v = (speed[i] + wp.vec3(0.0, 0.0, -gravity * step)) * keep
    place[i] = place[i] + v * step


@wp.kernel
def pull(
    place: wp.array(dtype=wp.vec3),
    ends: wp.array(dtype=wp.vec2i),
    rest: wp.array(dtype=float),
    give: wp.array(dtype=float),
    first: int,
):
    k = first + wp.tid()
    i = ends[k][0]
    j = ends[k][1]
    apart = place[i] - place[j]
    length = wp.length(apart)
    if length > 1.0e-9:
        move = apart * (0.5 * (rest[k] - length) / (length * (1.0 + give[k])))
        place[i] = place[i] + move
        place[j] = place[j] - move


@wp.kernel
def find(
    body: wp.uint64,
    place: wp.array(dtype=wp.vec3),
    off: wp.array(dtype=float),
    reach: float,
    plane: wp.array(dtype=wp.vec4),
):
    i = wp.tid()
    p = place[i]
    found = wp.mesh_query_point_sign_normal(body, p, reach)
    result = wp.vec4(0.0, 0.0, 0.0, -1.0e6)
    if found.result:
        near = wp.mesh_eval_position(body, found.face, found.u, found.v)
        towards = p - near
        far = wp.length(towards)
        normal = wp.mesh_eval_face_normal(body, found.face)
        if far > 1.0e-4:
            normal = towards * (found.sign / far)
        result = wp.vec4(normal[0], normal[1], normal[2], wp.dot(normal, near) + off[i])
    plane[i] = result


@wp.kernel
def meet(
    place: wp.array(dtype=wp.vec3),
    before: wp.array(dtype=wp.vec3),
    speed: wp.array(dtype=wp.vec3),
    plane: wp.array(dtype=wp.vec4),
    held: wp.array(dtype=float),
    height: wp.array(dtype=float),
    floor: wp.array(dtype=float),
    friction: wp.array(dtype=float),
    step: float,
    fastest: float,
):
    i = wp.tid()
    p = place[i]
    normal = wp.vec3(plane[i][0], plane[i][1], plane[i][2])
    deep = plane[i][3] - wp.dot(normal, p)
    if deep > 0.0:
        p = p + normal * deep
        slid = p - before[i]
        slid = slid - normal * wp.dot(slid, normal)
        far = wp.length(slid)
        if far > 1.0e-9:
            p = p - slid * wp.min(1.0, friction[i] * deep / far)
    p[2] = p[2] + held[i] * (height[i] - p[2])
    p[2] = wp.max(p[2], floor[i])
    v = (p - before[i]) / step
    quick = wp.length(v)
    if quick > fastest:
        v = v * (fastest / quick)
    speed[i] = v
    place[i] = p


@wp.kernel
def colour(
    ends: wp.array(dtype=wp.vec2i), taken: wp.array(dtype=wp.uint64), colour: wp.array(dtype=int)
):
    """One after another, each gets the first colour that neither of its ends has yet."""
    for k in range(ends.shape[0]):
        i = ends[k][0]
        j = ends[k][1]
        both = taken[i] | taken[j]
        c = int(0)
        while (both >> wp.uint64(c)) & wp.uint64(1) != wp.uint64(0):
            c = c + 1
        mine = wp.uint64(1) << wp.uint64(c)
        taken[i] = taken[i] | mine
        taken[j] = taken[j] | mine
        colour[k] = c


@wp.kernel
def look_out(
    cloth: wp.uint64,
    place: wp.array(dtype=wp.vec3),
    normal: wp.array(dtype=wp.vec3),
    deep: float,
    high: float,
    covered: wp.array(dtype=float),
):
    i = wp.tid()
    n = normal[i]
    found = wp.mesh_query_ray(cloth, place[i] - n * deep, n, deep + high)
    covered[i] = 0.0
    if found.result:
        if wp.dot(wp.mesh_eval_face_normal(cloth, found.face), n) > 0.0:
            covered[i] = 1.0
