'use strict';
// The map, the swipe and the table of a run's page. Everything comes from the JSON in #data; names only ever become text.
(() => {
  const byId = (id) => document.getElementById(id);
  const all = (selector) => [...document.querySelectorAll(selector)];
  const data = JSON.parse(byId('data').textContent);
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const decimals = (value, digits) =>
    value === null ? '–' : value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const element = (tag, options = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), options);
    made.append(...children);
    return made;
  };
  const named = (text) => element('bdi', { textContent: text });

  // ---- The map: metres from the upper left corner, y up, so that Leaflet's scale bar is right. ----
  const [width, height] = [data.columns * data.pixel_m, data.rows * data.pixel_m];
  const extent = L.latLngBounds([[-height, 0], [0, width]]);
  let map, images, closest;

  // Tenths of a pixel, each pair the step from the one before.
  const outline = (steps) => {
    const points = [];
    let [x, y] = [0, 0];
    for (let i = 0; i < steps.length; i += 2) {
      x += steps[i];
      y += steps[i + 1];
      points.push([(-y * data.pixel_m) / 10, (x * data.pixel_m) / 10]);
    }
    return points;
  };
  const polygon = (shape, style) => L.polygon(shape.map((rings) => rings.map(outline)), style);

  const drawMap = () => {
    map = L.map('map', {
      crs: L.CRS.Simple, attributionControl: false, zoomControl: false, zoomSnap: 0.25, zoomDelta: 0.75, minZoom: -16, wheelPxPerZoomLevel: 90,
      maxBounds: extent.pad(0.6), scrollWheelZoom: false, renderer: L.svg({ padding: 0.4 }),
      zoomAnimation: !calm, fadeAnimation: !calm, inertia: !calm,
    });
    map.fitBounds(extent, { animate: false });
    const whole = map.getZoom();
    map.setMinZoom(whole - 1).setMaxZoom(Math.max(Math.log2(32 / data.pixel_m), whole + 2));
    closest = Math.max(Math.log2(8 / data.pixel_m), whole + 1);
    L.control.zoom({ position: 'bottomright' }).addTo(map);
    L.control.scale({ imperial: false }).addTo(map);
    images = ['before', 'after'].map((date, order) => {
      const pane = map.createPane(date);
      pane.style.zIndex = 210 + order;
      const still = byId(`image-${date}`);
      L.imageOverlay(still.src, extent, { pane: date, alt: still.alt }).addTo(map);
      return pane;
    });
    // The wheel scrolls the page until the reader turns to the map.
    map.on('focus click', () => map.scrollWheelZoom.enable());
    map.on('blur mouseout', () => map.scrollWheelZoom.disable());
    byId('home').addEventListener('click', () => map.fitBounds(extent, { animate: !calm }));
  };

  // ---- Swipe: the image after lies over the image before, cut off at the divider. ----
  const swipe = byId('swipe');
  const divider = element('div', { className: 'divider' },
    element('span', { className: 'date before', textContent: `Before ${data.before}` }),
    element('span', { className: 'handle', textContent: '⇔' }),
    element('span', { className: 'date after', textContent: `After ${data.after}` }));
  const cut = () => {
    const size = map.getSize();
    const [low, high] = [map.containerPointToLayerPoint([0, 0]), map.containerPointToLayerPoint(size)];
    const x = low.x + (swipe.value / 100) * size.x;
    images[1].style.clipPath = `polygon(${x}px ${low.y}px, ${high.x}px ${low.y}px, ${high.x}px ${high.y}px, ${x}px ${high.y}px)`;
    Object.assign(divider.style, { left: `${x}px`, top: `${low.y}px`, height: `${size.y}px` });
    swipe.setAttribute('aria-valuetext', `${swipe.value} % of the map shows before, the rest after`);
  };
  const startSwipe = () => {
    // Above the patches and below the popups.
    const pane = map.createPane('divider');
    pane.style.zIndex = 600;
    pane.append(divider);
    divider.setAttribute('aria-hidden', 'true');
    L.DomEvent.disableClickPropagation(divider);
    swipe.addEventListener('input', cut);
    map.on('move zoom viewreset resize', cut);
    const drag = (event) => {
      const box = byId('map').getBoundingClientRect();
      swipe.value = Math.round((100 * (event.clientX - box.left)) / box.width);
      cut();
    };
    divider.addEventListener('pointerdown', (event) => {
      divider.setPointerCapture(event.pointerId);
      divider.addEventListener('pointermove', drag);
      event.preventDefault();
    });
    const stop = () => divider.removeEventListener('pointermove', drag);
    divider.addEventListener('pointerup', stop);
    divider.addEventListener('pointercancel', stop);
    cut();
  };

  // ---- Layers: what was not observed, areas of interest, patches. ----
  const hatch = () => {
    const svg = map.getPane('overlayPane').querySelector('svg');
    const namespace = svg.namespaceURI;
    const make = (tag, attributes, ...children) => {
      const made = document.createElementNS(namespace, tag);
      Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
      made.append(...children);
      return made;
    };
    const turned = { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' };
    const ground = make('rect', { width: 6, height: 6, fill: '#ccccd4', 'fill-opacity': 0.75 });
    svg.prepend(make('defs', {}, make('pattern', turned, ground, make('rect', { width: 2, height: 6, fill: '#6e6e82' }))));
  };
  // White edges: the colours of forest and water are lost on images of forest and water.
  const patchStyle = (kind, full) => {
    const { colour } = data.kinds[kind];
    return { color: full ? '#fff' : colour, weight: full ? 1 : 2.5, opacity: 1, fillColor: colour, fillOpacity: full ? 0.72 : 0 };
  };
  const rows = new Map(all('#patches tbody tr').map((row) => [Number(row.dataset.row), row]));
  const shown = new Set(data.kinds.keys());
  let [patches, areas, chosen, current] = [[], [], null, 0];

  const drawLayers = () => {
    const unseen = L.layerGroup(data.unseen.map((shape) =>
      polygon(shape, { stroke: false, fillColor: 'url(#hatch)', fillOpacity: 1, interactive: false }))).addTo(map);
    patches = data.patches.map((patch, index) => {
      const layer = polygon(patch.shape, patchStyle(patch.kind, true)).addTo(map);
      layer.bindPopup(() => card(patch, index), { maxWidth: 260, minWidth: 208, autoPan: true });
      layer.on('click', () => choose(index, false));
      layer.on('popupopen', () => choose(index, false));
      return layer;
    });
    areas = data.areas.map((area) => polygon(area.shape, {
      color: '#10161c', weight: 2, dashArray: '7 5', fill: false, interactive: false, className: 'area',
    }).bindTooltip(named(area.name), { permanent: false }).addTo(map));
    if (map.getPane('overlayPane').querySelector('svg')) hatch();
    patches.forEach(prepare);
    focusable(0);
    const toggle = (id, layers) => byId(id)?.addEventListener('change', (event) =>
      layers.forEach((layer) => (event.target.checked ? layer.addTo(map) : layer.remove())));
    const opinion = byId('image-disagreement');
    if (opinion) {
      // Above the patches, which would hide it, and below the divider.
      map.createPane('opinion').style.zIndex = 450;
      const layer = L.imageOverlay(opinion.src, extent, { pane: 'opinion', alt: opinion.alt, interactive: false });
      byId('show-disagreement').addEventListener('change', (event) => (event.target.checked ? layer.addTo(map) : layer.remove()));
    }
    toggle('show-unseen', [unseen]);
    toggle('show-areas', areas);
    byId('show-fill')?.addEventListener('change', (event) =>
      patches.forEach((layer, index) => layer.setStyle(patchStyle(data.patches[index].kind, event.target.checked))));
    all('[data-area]').forEach((button) => button.addEventListener('click', () => {
      const layer = areas[Number(button.dataset.area)];
      if (byId('show-areas')) byId('show-areas').checked = true;
      map.closePopup();
      layer.addTo(map);
      areas.filter((other) => map.hasLayer(other)).forEach((other) => {
        other.closeTooltip();
        other.setStyle({ weight: other === layer ? 4 : 2 });
      });
      map.fitBounds(layer.getBounds(), { animate: !calm, padding: [24, 24] });
      layer.openTooltip();
      bringToView();
    }));
  };

  // One patch is in the tab order; the arrow keys go on from it.
  const prepare = (layer, index) => {
    const path = layer.getElement();
    const patch = data.patches[index];
    path.setAttribute('role', 'button');
    path.setAttribute('tabindex', '-1');
    path.setAttribute('aria-label', `${data.kinds[patch.kind].name}, ${decimals(patch.ha, 2)} ha`);
    path.addEventListener('focus', () => focusable(index));
    path.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (event.key === 'Enter' || event.key === ' ') {
        open(index);
        // So that a screen reader goes on there.
        const content = layer.getPopup().getElement().querySelector('.leaflet-popup-content');
        content.tabIndex = -1;
        content.focus({ preventScroll: true });
      }
      else if (step) neighbour(index, step)?.getElement().focus();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
  };
  const focusable = (index) => {
    patches[current]?.getElement()?.setAttribute('tabindex', '-1');
    current = index;
    patches[index]?.getElement()?.setAttribute('tabindex', '0');
  };
  const neighbour = (index, step) => {
    const visible = data.patches.map((patch, i) => i).filter((i) => shown.has(data.patches[i].kind));
    return patches[visible[(visible.indexOf(index) + step + visible.length) % visible.length]];
  };

  // ---- The popup of a patch. ----
  const chip = (date, index) => {
    const made = element('span', { className: `chip ${date}` });
    made.setAttribute('role', 'img');
    made.setAttribute('aria-label', date === 'before' ? 'Before' : 'After');
    const across = Number(getComputedStyle(document.documentElement).getPropertyValue('--across'));
    made.style.setProperty('--x', index % across);
    made.style.setProperty('--y', Math.floor(index / across));
    return element('span', {}, made, data[date]);
  };
  const card = (patch, index) => {
    const kind = data.kinds[patch.kind];
    const list = element('dl');
    const add = (term, value) => list.append(element('dt', { textContent: term }), element('dd', {}, value));
    if (patch.from !== null) add('From', named(patch.from));
    if (patch.to !== null) add('To', named(patch.to));
    add('Area', `${decimals(patch.ha, 2)} ha (pixel count, biased)`);
    add(`Probability of change${data.calibrated ? '' : ' (uncalibrated here)'}`, `${decimals(patch.change_probability, 2)} (lowest pixel ${decimals(patch.lowest, 2)})`);
    add(`This kind of change${data.tested ? '' : ' (where the model was trained)'}`, data.kinds[patch.kind].tested);
    if (patch.areas) add('In', named(patch.areas));
    add('ID', named(patch.id));
    const made = element('div', {}, element('h3', {}, named(kind.name)));
    if (index < data.chips) made.append(element('div', { className: 'pair' }, chip('before', index), chip('after', index)));
    made.append(list);
    return made;
  };

  // ---- Row and patch belong together. ----
  const bringToView = () => document.querySelector('.frame').scrollIntoView({ block: 'nearest', behavior: calm ? 'auto' : 'smooth' });
  const choose = (index, fromTable) => {
    rows.get(chosen)?.classList.remove('chosen');
    rows.get(chosen)?.removeAttribute('aria-current');
    chosen = index;
    const row = rows.get(index);
    row.classList.add('chosen');
    row.setAttribute('aria-current', 'true');
    focusable(index);
    if (fromTable) return;
    if (row.hidden) {
      limit = Infinity;
      listRows();
    }
    const box = byId('box');
    const [top, head] = [row.offsetTop, box.querySelector('thead').offsetHeight];
    if (top - head < box.scrollTop || top + row.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = top - head;
  };
  const open = (index, fromTable = false) => {
    const layer = patches[index];
    map.closePopup();
    if (fromTable) map.fitBounds(layer.getBounds(), { padding: [90, 90], maxZoom: closest, animate: false });
    layer.openPopup(layer.getCenter());
    choose(index, fromTable);
    if (fromTable) bringToView();
  };

  // ---- The table: filter, order and length. ----
  const PAGE = 50;
  let [limit, order] = [PAGE, { key: 'ha', ascending: false }];
  const value = { ha: (p) => p.ha, change_probability: (p) => p.change_probability ?? -1, kind: (p) => data.kinds[p.kind].name };
  const listRows = () => {
    const read = value[order.key];
    const listed = [...data.patches.keys()].filter((index) => shown.has(data.patches[index].kind)).sort((a, b) => {
      const [x, y] = [read(data.patches[a]), read(data.patches[b])];
      const found = typeof x === 'string' ? x.localeCompare(y) : x - y;
      return (order.ascending ? found : -found) || a - b;
    });
    rows.forEach((row) => { row.hidden = true; });
    const body = document.querySelector('#patches tbody');
    listed.forEach((index, place) => {
      body.append(rows.get(index));
      rows.get(index).hidden = place >= limit;
    });
    const hectares = listed.reduce((sum, index) => sum + data.patches[index].ha, 0);
    const seen = Math.min(limit, listed.length);
    const held = data.patches.length < data.all_patches ? `the ${decimals(data.patches.length, 0)} largest` : decimals(data.patches.length, 0);
    byId('count').textContent =
      `${decimals(listed.length, 0)} of ${held} patches, ${decimals(hectares, 1)} ha (pixel count, biased)` +
      (seen < listed.length ? `; the first ${seen} are listed` : '');
    byId('more').hidden = seen === listed.length;
  };
  const showKinds = () => {
    const boxes = all('[data-kind]');
    boxes.forEach((box) => { box.checked = shown.has(Number(box.dataset.kind)); });
    patches.forEach((layer, index) => {
      const wanted = shown.has(data.patches[index].kind);
      if (wanted === map.hasLayer(layer)) return;
      if (!wanted) layer.remove();
      else prepare(layer.addTo(map), index);
    });
    const first = data.patches.findIndex((patch) => shown.has(patch.kind));
    if (first >= 0) focusable(shown.has(data.patches[current].kind) ? current : first);
    byId('filter').value = shown.size === data.kinds.length ? 'all' : shown.size === 1 ? String([...shown][0]) : 'mixed';
    limit = PAGE;
    listRows();
  };
  const replaceShown = (wanted) => {
    shown.clear();
    wanted.forEach((kind) => shown.add(kind));
    showKinds();
  };
  const startTable = () => {
    all('[data-kind]').forEach((box) => box.addEventListener('change', () => {
      if (box.checked) shown.add(Number(box.dataset.kind));
      else shown.delete(Number(box.dataset.kind));
      showKinds();
    }));
    byId('all')?.addEventListener('click', () => replaceShown([...data.kinds.keys()]));
    byId('none')?.addEventListener('click', () => replaceShown([]));
    byId('filter').addEventListener('change', (event) =>
      replaceShown(event.target.value === 'all' ? [...data.kinds.keys()] : [Number(event.target.value)]));
    all('[data-sort]').forEach((button) => button.addEventListener('click', () => {
      const key = button.dataset.sort;
      order = { key, ascending: order.key === key ? !order.ascending : key === 'kind' };
      all('th[aria-sort]').forEach((head) => head.setAttribute('aria-sort', 'none'));
      button.closest('th').setAttribute('aria-sort', order.ascending ? 'ascending' : 'descending');
      listRows();
    }));
    byId('more').addEventListener('click', () => {
      limit += 4 * PAGE;
      listRows();
    });
    rows.forEach((row, index) => row.addEventListener('click', () => open(index, true)));
    document.querySelector('.frame').addEventListener('keydown', (event) => {
      if (event.key !== 'Escape') return;
      map.closePopup();
      patches[current]?.getElement()?.focus();
    });
    listRows();
  };

  // The map needs its place on the page before it is drawn; should that fail, the still pictures come back.
  document.documentElement.classList.add('js');
  try {
    drawMap();
    drawLayers();
    startSwipe();
    if (data.patches.length) startTable();
  } catch (error) {
    document.documentElement.classList.remove('js');
    throw error;
  }
})();
