"""Pictures computed from formulas: ray-traced scenes, textures and simulated scans.

Arrays are float64 in [0, 1]; images are float64[H, W, 3] or float64[H, W].
"""
