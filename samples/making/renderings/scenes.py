"""Scenes: glossy spheres on a chequered floor, traced ray by ray, with their exact depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from making.renderings.noise import Array, resized, smooth_noise

CAMERA = np.array([0.0, 1.6, -5.2])
LIGHT = np.array([-0.48, 0.78, -0.4])
FAR = 14.0


@dataclass(frozen=True)
class Sphere:
    """Centre and radius in metres, colour in [0, 1]."""

    centre: tuple[float, float, float]
    radius: float
    colour: tuple[float, float, float]


@dataclass(frozen=True)
class Render:
    """image: float64[H, W, 3]; depth: float64[H, W] in metres."""

    image: Array
    depth: Array


THREE_BALLS = (
    Sphere((-1.25, 0.75, 0.6), 0.75, (0.82, 0.25, 0.2)),
    Sphere((0.35, 1.0, 1.6), 1.0, (0.2, 0.45, 0.8)),
    Sphere((1.15, 0.42, -0.7), 0.42, (0.9, 0.72, 0.2)),
)
ROW_OF_PEARLS = tuple(Sphere((-1.35 + 0.72 * i, 0.42, -0.2 + 0.55 * i), 0.42, (0.9, 0.86, 0.8)) for i in range(5))
STACK = (
    Sphere((-0.6, 0.6, 0.4), 0.6, (0.25, 0.6, 0.4)),
    Sphere((0.6, 0.6, 0.4), 0.6, (0.5, 0.35, 0.65)),
    Sphere((0.0, 1.62, 0.4), 0.6, (0.85, 0.5, 0.25)),
)


def trace(spheres: Sequence[Sphere], shape: tuple[int, int]) -> Render:
    """One ray per pixel from a fixed camera; Lambert and Phong shading, hard shadows, haze."""
    rays = _rays(shape)
    depth, normals, colours = _floor(rays)
    for sphere in spheres:
        distance = _hit(CAMERA, rays, sphere)
        nearer = distance < depth
        points = CAMERA + np.minimum(distance, FAR)[..., None] * rays
        depth = np.where(nearer, distance, depth)
        outward = (points - np.array(sphere.centre)) / sphere.radius
        normals = np.where(nearer[..., None], outward, normals)
        colours = np.where(nearer[..., None], np.array(sphere.colour), colours)
    image = _shade(rays, np.minimum(depth, 4 * FAR), normals, colours, spheres)
    return Render(image, np.minimum(depth, FAR))


def traced_smoothly(spheres: Sequence[Sphere], shape: tuple[int, int]) -> Array:
    """The image alone, four rays per pixel; float64[H, W, 3]."""
    height, width = shape
    fine = trace(spheres, (2 * height, 2 * width)).image
    return np.asarray(fine.reshape(height, 2, width, 2, 3).mean(axis=(1, 3)), np.float64)


def coarse(depth: Array, cells: int, seed: int) -> Array:
    """Return the answer of a blurred network to `depth`: edges soft, curved surfaces wavy."""
    small = resized(depth, (cells, cells * depth.shape[1] // depth.shape[0]))
    waves = smooth_noise(depth.shape, (7, 9), seed) - 0.5
    return np.clip(resized(small, depth.shape) * (1 + 0.22 * waves), 0, FAR)


def _rays(shape: tuple[int, int]) -> Array:
    height, width = shape
    rows, columns = np.mgrid[0:height, 0:width]
    x = (columns - width / 2 + 0.5) / height
    y = -(rows - height / 2 + 0.5) / height
    rays = np.stack([x, y - 0.17, np.full_like(x, 1.75)], axis=-1)
    return np.asarray(rays / np.linalg.norm(rays, axis=-1, keepdims=True), np.float64)


def _floor(rays: Array) -> tuple[Array, Array, Array]:
    down = rays[..., 1] < -1e-6
    distance = np.where(down, -CAMERA[1] / np.where(down, rays[..., 1], -1.0), np.inf)
    points = CAMERA + np.where(down, distance, 0.0)[..., None] * rays
    squares = (np.floor(points[..., 0] * 1.25) + np.floor(points[..., 2] * 1.25)) % 2
    floor = np.where(squares[..., None] > 0, np.array([0.78, 0.76, 0.72]), np.array([0.42, 0.43, 0.47]))
    sky = np.array([0.72, 0.8, 0.9]) - 0.5 * rays[..., 1:2] * np.array([0.6, 0.4, 0.1])
    normals = np.where(down[..., None], np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0]))
    return distance, normals, np.where(down[..., None], floor, sky)


def _hit(origin: Array, rays: Array, sphere: Sphere) -> Array:
    """Distance along each ray to the sphere; infinite where it misses."""
    offset = origin - np.array(sphere.centre)
    half = (rays * offset).sum(axis=-1)
    inside = half**2 - (offset**2).sum(axis=-1) + sphere.radius**2
    distance = -half - np.sqrt(np.maximum(inside, 0))
    return np.where((inside > 0) & (distance > 1e-3), distance, np.inf)


def _shade(rays: Array, depth: Array, normals: Array, colours: Array, spheres: Sequence[Sphere]) -> Array:
    light = LIGHT / np.linalg.norm(LIGHT)
    points = CAMERA + depth[..., None] * rays
    towards = np.broadcast_to(light, points.shape)
    shadowed = np.min([_hit(points + 1e-3 * normals, towards, sphere) for sphere in spheres], axis=0) < np.inf
    facing = np.clip((normals * light).sum(axis=-1), 0, 1) * np.where(shadowed, 0.12, 1.0)
    mirrored = rays - 2 * (rays * normals).sum(axis=-1, keepdims=True) * normals
    gloss = np.clip((mirrored * light).sum(axis=-1), 0, 1) ** 40 * np.where(shadowed, 0, 0.7)
    solid = (depth < 4 * FAR)[..., None]
    lit = colours * (0.28 + 0.78 * facing[..., None]) + gloss[..., None]
    haze = np.clip((depth - 5) / (FAR - 5), 0, 1)[..., None] ** 1.5
    return np.clip(np.where(solid, lit * (1 - haze) + haze * np.array([0.75, 0.8, 0.86]), colours), 0, 1)
