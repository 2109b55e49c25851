"""From a scene to pixels: camera, light, rasteriser and shading; nothing of people in it."""
