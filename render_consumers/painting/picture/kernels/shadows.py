"""Where light falls: maps of what is nearest to a lamp, and what the ground loses of the sky."""

import warp as wp

# Unrolled, the loops over samples would take a minute to compile.
wp.set_module_options({"max_unroll": 0, "enable_backward": False})


@wp.func
def least_step(value: float, change: float):
    """After how many steps a value that changes with each is not below 0, or hardly."""
    if change > 0.0:
        return wp.ceil((-1.0e-4 - value) / change)
    if value < -1.0e-4:
        return 1.0e6  # it never will be
    return 0.0


@wp.func
def most_step(value: float, change: float):
    """After how many steps it is so for the last time."""
    if change < 0.0:
        return wp.floor((-1.0e-4 - value) / change)
    return 1.0e6


@wp.kernel
def cast(
    places: wp.array[wp.vec3],
    faces: wp.array2d[wp.int64],
    axes: wp.array[wp.mat33],
    origins: wp.array[wp.vec3],
    side_length: int,
    depths: wp.array[float],
):
    """The depth of what is nearest to each lamp at the texels of its map; places are world's.

    A map's third axis points to its lamp, so the largest depth wins.
    """
    which, face = wp.tid()
    a = axes[which] * places[int(faces[face, 0])] + origins[which]
    b = axes[which] * places[int(faces[face, 1])] + origins[which]
    c = axes[which] * places[int(faces[face, 2])] + origins[which]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if area == 0.0:
        return
    y0 = wp.max(int(wp.ceil(wp.min(a[1], wp.min(b[1], c[1])) - 0.5)), 0)
    y1 = wp.min(int(wp.floor(wp.max(a[1], wp.max(b[1], c[1])) - 0.5)) + 1, side_length)
    x0 = wp.max(int(wp.ceil(wp.min(a[0], wp.min(b[0], c[0])) - 0.5)), 0)
    x1 = wp.min(int(wp.floor(wp.max(a[0], wp.max(b[0], c[0])) - 0.5)) + 1, side_length)
    part = 1.0 / area
    step_u, step_v = (b[1] - c[1]) * part, (c[1] - a[1]) * part
    step_depth = step_u * (a[2] - c[2]) + step_v * (b[2] - c[2])
    x = float(x0) + 0.5
    for row in range(y0, y1):
        y = float(row) + 0.5
        u = ((c[0] - b[0]) * (y - b[1]) - (c[1] - b[1]) * (x - b[0])) * part
        v = ((a[0] - c[0]) * (y - c[1]) - (a[1] - c[1]) * (x - c[0])) * part
        depth = c[2] + u * (a[2] - c[2]) + v * (b[2] - c[2])
        first = (which * side_length + row) * side_length
        start = wp.max(least_step(u, step_u), least_step(v, step_v))
        start = wp.max(start, least_step(1.0 - u - v, -step_u - step_v))
        stop = wp.min(most_step(u, step_u), most_step(v, step_v))
        stop = wp.min(stop, most_step(1.0 - u - v, -step_u - step_v))
        for column in range(x0 + int(wp.max(start, 0.0)), wp.min(x0 + int(stop) + 1, x1)):
            wp.atomic_max(depths, first + column, depth + float(column - x0) * step_depth)


@wp.func
def tent(step: int, fraction: float):
    """The share of the texel before, at or after a place that lies so far in its own."""
    if step == 0:
        return 0.5 * (1.0 - fraction) * (1.0 - fraction)
    if step == 2:
        return 0.5 * fraction * fraction
    return 0.5 + fraction * (1.0 - fraction)


@wp.func
def open_share(
    depths: wp.array[float],
    start: int,
    side_length: int,
    x: float,
    y: float,
    depth: float,
    blunt: bool,
):
    """How much of a point is open at a place of its map: 3 by 3 texels under a smooth tent.

    Unless ``blunt``: then 2 by 2 between which the place lies, which is enough where many points
    are averaged.
    """
    column, row = int(wp.floor(x)), int(wp.floor(y))
    if column < 1 or row < 1 or column >= side_length - 1 or row >= side_length - 1:
        return 1.0
    reached = float(0.0)
    if blunt:
        left, below = int(wp.floor(x - 0.5)), int(wp.floor(y - 0.5))
        u, v = x - 0.5 - float(left), y - 0.5 - float(below)
        first = start + below * side_length + left
        if depths[first] <= depth:
            reached += (1.0 - u) * (1.0 - v)
        if depths[first + 1] <= depth:
            reached += u * (1.0 - v)
        if depths[first + side_length] <= depth:
            reached += (1.0 - u) * v
        if depths[first + side_length + 1] <= depth:
            reached += u * v
        return reached
    u, v = x - float(column), y - float(row)
    share_x = wp.vec3(tent(0, u), tent(1, u), tent(2, u))
    for dy in range(3):
        share_y = tent(dy, v)
        first = start + (row + dy - 1) * side_length + column - 1
        for dx in range(3):
            if depths[first + dx] <= depth:
                reached += share_x[dx] * share_y
    return reached


@wp.kernel
def gather_light(
    places: wp.array[wp.vec3],
    normals: wp.array[wp.vec3],
    axes: wp.array[wp.mat33],
    origins: wp.array[wp.vec3],
    texels: wp.array[float],
    side_length: int,
    depths: wp.array[float],
    lamp: wp.array[int],
    lamps: int,
    hidden: float,
    blunt: bool,
    column: int,
    lit: wp.array2d[float],
):
    """How much of each lamp reaches each place, into the columns of ``lit`` from ``column`` on.

    A lamp is the mean of its maps, each counted by how much the place faces it (with ``hidden``
    added, so that what lies level with the light is not decided by rounding).
    """
    spot = wp.tid()
    place, normal = places[spot], normals[spot]
    for one in range(lamps):
        total = float(0.0)
        weight = float(0.0)
        for which in range(lamp.shape[0]):
            if lamp[which] == one:
                towards = wp.vec3(axes[which][2, 0], axes[which][2, 1], axes[which][2, 2])
                facing = wp.dot(normal, towards) + hidden
                if facing > 0.0:
                    lifted = place + normal * (1.3 * texels[which])
                    at = axes[which] * lifted + origins[which]
                    depth = at[2] + 0.7 * texels[which]
                    start = which * side_length * side_length
                    open_there = open_share(depths, start, side_length, at[0], at[1], depth, blunt)
                    total += facing * open_there
                    weight += facing
        if weight > 0.0:
            lit[spot, column + one] = total / weight
        else:
            lit[spot, column + one] = 0.0


@wp.kernel
def occlude(
    spots: wp.array[wp.vec2],
    ground: float,
    middles: wp.array[wp.vec3],
    areas: wp.array[wp.vec3],
    lamp: wp.vec3,
    lamp_share: float,
    shade: wp.array[float],
):
    """How much of the light of the sky and of a wide lamp triangles keep from spots on the ground.

    Their form factors are added up; what hides behind another is counted twice, which the
    exponential makes up for.
    """
    spot = wp.tid()
    place = wp.vec3(spots[spot][0], spots[spot][1], ground)
    taken = float(0.0)
    for each in range(middles.shape[0]):
        to = middles[each] - place
        area = areas[each]
        size = wp.length(area)
        square = wp.dot(to, to) + size
        facing = -wp.dot(area, to)
        if facing > 0.0 and to[2] > 0.0:
            share = facing * to[2] / (square * square * wp.pi)
            near_lamp = wp.max(wp.dot(to, lamp), 0.0) / wp.sqrt(square)
            taken += share * (1.0 + lamp_share * 4.0 * wp.pow(near_lamp, 6.0))
    shade[spot] = 1.0 - wp.exp(-taken)
