// Writes a pair of a key or value to the cache; see `shared/cache.wgsl` for how it lies there.
{%- if kv_half %}
fn store(base: u32, to: vec2<u32>, x: vec2<f32>) { cache[(base + to.x) / 2u] = pack2x16float(x); }
{%- else %}
fn store(base: u32, to: vec2<u32>, x: vec2<f32>) {
    cache[base + to.x] = x.x;
    cache[base + to.y] = x.y;
}
{%- endif %}
