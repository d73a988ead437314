'use strict';
// The map, the swipe, the layers and the table of a run's page. Everything comes from #data; names only ever become text.
(async () => {
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

  // ---- The columns of the patches. ----
  const columns = await Patches.unpack(data.packed);
  const shapes = Object.fromEntries(['patch', 'unseen', 'area', 'label'].map((n) => [n, Patches.outlines(columns, n, data.units[n])]));
  const count = data.patches;
  const ha = (index) => columns.ha[index] / 10000;
  const share = (name, index) => (columns[name][index] < 0 ? null : columns[name][index] / 100);
  const kindOf = (index) => data.kinds[columns.kind[index]];
  const touched = (index) => data.touched[columns.touched[index]];
  const number = (value) => (value < 0 ? `m${-value}` : String(value));
  const idOf = (index) => {
    if (data.ids.others[index] !== undefined) return data.ids.others[index];
    const first = shapes.patch.point[shapes.patch.ring[index]];
    const has = shapes.patch.ring[index + 1] > shapes.patch.ring[index];
    const [x, y] = has ? [Math.floor(shapes.patch.x[first]), Math.floor(shapes.patch.y[first])] : [0, 0];
    const [column, row] = [data.ids.left + x + columns.id_x[index], data.ids.top - 1 - y - columns.id_y[index]];
    return `${data.ids.prefix}-${number(column)}-${number(row)}`;
  };
  const chipOf = new Map(data.chips.map((index, place) => [index, place]));
  const shown = new Set(data.kinds.keys());

  // ---- The map: metres from the upper left corner, y up, so that Leaflet's scale bar is right. ----
  const [width, height] = [data.columns * data.pixel_m, data.rows * data.pixel_m];
  const extent = L.latLngBounds([[-height, 0], [0, width]]);
  const place = (x, y) => [-y * data.pixel_m, x * data.pixel_m];
  const polygons = (set, index, style) => L.polygon(Patches.ringsOf(shapes[set], index, place), style);
  const boundsOf = (index) => {
    const [left, top, right, bottom] = shapes.patch.box.subarray(4 * index, 4 * index + 4);
    return L.latLngBounds([place(left, bottom), place(right, top)]);
  };
  let map, images, closest;

  const drawMap = () => {
    map = L.map('map', {
      crs: L.CRS.Simple, attributionControl: false, zoomControl: false, zoomSnap: 0.1, zoomDelta: 0.8, minZoom: -16, wheelPxPerZoomLevel: 90,
      maxBounds: extent.pad(0.6), scrollWheelZoom: false, renderer: L.svg({ padding: 0.4 }),
      // Where there is much to draw, the next picture comes sooner than a scaled one.
      zoomAnimation: !calm && count < 20000, fadeAnimation: !calm, inertia: !calm,
    });
    map.fitBounds(extent, { animate: false });
    const whole = map.getZoom();
    map.setMinZoom(whole - 1).setMaxZoom(Math.max(Math.log2(32 / data.pixel_m), whole + 2));
    closest = Math.max(Math.log2(8 / data.pixel_m), whole + 1);
    L.control.zoom({ position: 'bottomright' }).addTo(map);
    L.control.scale({ imperial: false, maxWidth: 140 }).addTo(map);
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
    byId('home').addEventListener('click', () => {
      closeCard();
      map.fitBounds(extent, { animate: !calm });
    });
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
    // Above the patches.
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

  // ---- Layers: pictures over the images, what was not observed, labels, areas of interest, patches. ----
  const hatch = (svg) => {
    const make = (tag, attributes, ...children) => {
      const made = document.createElementNS(svg.namespaceURI, tag);
      Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
      made.append(...children);
      return made;
    };
    const turned = { id: 'hatch', width: 6, height: 6, patternUnits: 'userSpaceOnUse', patternTransform: 'rotate(45)' };
    const ground = make('rect', { width: 6, height: 6, fill: '#ccccd4', 'fill-opacity': 0.75 });
    svg.prepend(make('defs', {}, make('pattern', turned, ground, make('rect', { width: 2, height: 6, fill: '#6e6e82' }))));
  };
  const paint = byId('paint');
  const steps = (name) => all(`#steps-${name} .swatch`).map((swatch) => swatch.style.backgroundColor);
  const stepOf = (value, limits) => limits.reduce((found, limit, i) => (value >= limit ? i : found), -1);
  // White edges: the colours of forest and water are lost on images of forest and water.
  const full = (colour) => ({ colour, edge: '#fff', fill: true, weight: 1 });
  const STYLES = {
    kind: data.kinds.map((kind) => ({ ...full(kind.colour), lines: kind.lines })),
    outline: data.kinds.map((kind) => ({ colour: kind.colour, edge: kind.colour, fill: false, weight: 2.5 })),
    // The last is the one without a value.
    probability: steps('probability').map(full),
    right: steps('right').map(full),
  };
  // Of each percent, from -1 (not known) on.
  const PERCENT_STEP = Int8Array.from({ length: 102 }, (_, i) => (i < 11 ? STYLES.probability.length - 1 : stepOf((i - 1) / 100, [0.1, 0.3, 0.5, 0.7, 0.9])));
  const rightStep = data.kinds.map((kind) => (kind.right === null || kind.hardly_tested ? -1 : stepOf(kind.right, [0, 0.5, 0.7, 0.8, 0.9])));
  // The styles of the patches as they are painted now, and which of them each has: -1 where its kind is hidden.
  const painting = () => {
    const visible = Uint8Array.from(data.kinds, (_, kind) => (shown.has(kind) ? 1 : 0));
    const styles = STYLES[paint.value];
    const last = styles.length - 1;
    const ofKind = { right: (i) => (rightStep[columns.kind[i]] < 0 ? last : rightStep[columns.kind[i]]), probability: (i) => PERCENT_STEP[columns.probability[i] + 1] }[paint.value];
    const chosenStyle = ofKind ?? ((i) => columns.kind[i]);
    return { styles, styleOf: (i) => (visible[columns.kind[i]] ? chosenStyle(i) : -1) };
  };
  const grid = Patches.gridIndex(shapes.patch, data.columns, data.rows);
  let [patches, areas, outline] = [null, [], null];
  const pictures = {};

  const showSteps = () => ['probability', 'right'].forEach((name) => {
    const found = byId(`steps-${name}`);
    if (found) found.hidden = paint?.value !== name && !pictures[name]?.checked;
  });
  const setOpacity = () => {
    const opacity = Number(byId('opacity').value) / 100;
    ['patches', 'pictures'].forEach((name) => { map.getPane(name).style.opacity = opacity; });
  };
  const drawLayers = () => {
    map.createPane('pictures').style.zIndex = 390;
    map.createPane('patches').style.zIndex = 410;
    map.createPane('chosen').style.zIndex = 430;
    map.createPane('lines').style.zIndex = 420;
    ['patches', 'lines', 'chosen', 'pictures'].forEach((name) => { map.getPane(name).style.pointerEvents = 'none'; });
    all('[data-picture]').forEach((box) => {
      const still = byId(`image-${box.dataset.picture}`);
      const layer = L.imageOverlay(still.src, extent, { pane: 'pictures', alt: still.alt, interactive: false });
      pictures[box.dataset.picture] = box;
      box.addEventListener('change', () => {
        if (box.checked) layer.addTo(map);
        else layer.remove();
        showSteps();
      });
    });
    const unseen = L.layerGroup([...shapes.unseen.ring.keys()].slice(0, shapes.unseen.length).map((index) =>
      polygons('unseen', index, { stroke: false, fillColor: 'url(#hatch)', fillOpacity: 1, interactive: false }))).addTo(map);
    const svg = map.getPane('overlayPane').querySelector('svg');
    if (svg) hatch(svg);
    const lines = L.svg({ pane: 'lines', padding: 0.4 });
    // Chromium stops at what listens to focus, as outlines with a tooltip do: the table has them by name.
    const passBy = (event) => event.target.getElement()?.setAttribute('tabindex', '-1');
    areas = data.areas.map((name, index) => polygons('area', index, {
      color: '#10161c', weight: 2, dashArray: '7 5', fill: false, interactive: false, className: 'area', renderer: lines, pane: 'lines',
    }).bindTooltip(named(name), { permanent: false }).on('add', passBy).addTo(map));
    const labels = L.layerGroup(Array.from({ length: shapes.label.length }, (_, index) => polygons('label', index, {
      color: '#ff3df5', weight: 2, dashArray: columns.role[index] === 2 ? '1 5' : null, fill: false, interactive: false, className: 'label', renderer: lines, pane: 'lines',
    })));
    const toggle = (id, layers) => byId(id)?.addEventListener('change', (event) =>
      layers.forEach((layer) => (event.target.checked ? layer.addTo(map) : layer.remove())));
    toggle('show-unseen', [unseen]);
    toggle('show-areas', areas);
    toggle('show-labels', [labels]);
    byId('opacity').addEventListener('input', setOpacity);
    setOpacity();
    all('[data-area]').forEach((button) => button.addEventListener('click', () => {
      const layer = areas[Number(button.dataset.area)];
      if (byId('show-areas')) byId('show-areas').checked = true;
      closeCard();
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

  // ---- What a sentence doubts is shown where it lies: that alone, until its button or the legend is used again. ----
  let [pressed, before, isShowing] = [null, null, false];
  const release = () => {
    pressed?.setAttribute('aria-pressed', 'false');
    [pressed, before] = [null, null];
  };
  const startDoubts = () => {
    const boxes = [byId('show-unseen'), pictures.unlike, pictures.disagreement];
    const boxOf = { unseen: boxes[0], unlike: boxes[1], opinion: boxes[2] };
    const show = ({ painted, kinds, checked }) => {
      isShowing = true;
      boxes.forEach((box, i) => {
        if (!box || box.checked === checked[i]) return;
        box.checked = checked[i];
        box.dispatchEvent(new Event('change'));
      });
      if (count) {
        paint.value = painted;
        paint.dispatchEvent(new Event('change'));
        replaceShown(kinds);
      }
      isShowing = false;
    };
    const press = (button) => {
      const start = before ?? { painted: paint?.value, kinds: [...shown], checked: boxes.map((box) => box?.checked) };
      const again = button === pressed;
      release();
      if (again) {
        show(start);
        return;
      }
      const box = boxOf[button.dataset.layer];
      const kinds = button.dataset.kinds?.split(' ').map(Number);
      // Outlines leave the ground below them free.
      show({
        painted: box ? 'outline' : 'kind', kinds: kinds ?? [...data.kinds.keys()],
        checked: boxes.map((other, i) => (box ? other === box : i === 0 && other?.checked)),
      });
      [pressed, before] = [button, start];
      button.setAttribute('aria-pressed', 'true');
      closeCard();
      map.fitBounds(extent, { animate: !calm });
      bringToView();
    };
    all('[data-layer]').forEach((button) => {
      if (boxOf[button.dataset.layer] || (button.dataset.kinds && count)) button.addEventListener('click', () => press(button));
      else button.remove();
    });
    [...boxes, paint].forEach((control) => control?.addEventListener('change', () => {
      if (!isShowing) release();
    }));
  };

  const pixelAt = (latlng) => [latlng.lng / data.pixel_m, -latlng.lat / data.pixel_m];
  // The patch at a point, or the one whose box is nearest to it within a finger's width.
  const patchAt = (point) => {
    const [x, y] = pixelAt(map.containerPointToLatLng(point));
    const reach = 6 / (map.options.crs.scale(map.getZoom()) * data.pixel_m);
    let [found, nearest] = [null, reach];
    const box = [x - reach, y - reach, x + reach, y + reach];
    grid.partsIn(...box).forEach((part) => part.forEach((i) => {
      if (!grid.meets(i, ...box) || !shown.has(columns.kind[i])) return;
      if (Patches.holds(shapes.patch, i, x, y)) [found, nearest] = [i, -1];
      const [left, top, right, bottom] = shapes.patch.box.subarray(4 * i, 4 * i + 4);
      const away = Math.hypot(Math.max(left - x, 0, x - right), Math.max(top - y, 0, y - bottom));
      if (nearest >= 0 && away <= nearest) [found, nearest] = [i, away];
    }));
    return found;
  };
  const drawPatches = () => {
    patches = new Patches.Layer(shapes.patch, {
      pane: 'patches', padding: 0.25, metres: data.pixel_m, shapes: shapes.patch, index: grid, paint: painting,
    }).addTo(map);
    paint.addEventListener('change', () => {
      showSteps();
      patches.redraw();
    });
    map.on('click', (event) => {
      const index = patchAt(event.containerPoint);
      if (index === null) closeCard();
      else open(index);
    });
    map.on('mousemove', (event) => {
      byId('map').classList.toggle('over', patchAt(event.containerPoint) !== null);
    });
  };

  // ---- The card of a patch, in the corner that leaves the patch free, or below a narrow map. ----
  const card = byId('card');
  const chip = (date, index) => {
    const made = element('span', { className: `chip ${date}` });
    made.setAttribute('role', 'img');
    made.setAttribute('aria-label', date === 'before' ? 'Before' : 'After');
    const across = Number(getComputedStyle(document.documentElement).getPropertyValue('--across'));
    made.style.setProperty('--x', index % across);
    made.style.setProperty('--y', Math.floor(index / across));
    return made;
  };
  const fillCard = (index) => {
    const kind = kindOf(index);
    const list = element('dl');
    const add = (term, value) => list.append(element('dt', { textContent: term }), element('dd', {}, value));
    if (kind.from !== null) add('From', named(kind.from));
    if (kind.to !== null) add('To', named(kind.to));
    add('Area', `${decimals(ha(index), 2)} ha (pixel count, biased)`);
    add(`Probability of change${data.calibrated ? '' : ' (uncalibrated here)'}`, `${decimals(share('probability', index), 2)} (lowest pixel ${decimals(share('lowest', index), 2)})`);
    add(`This kind of change${data.tested || kind.in_sample ? '' : ' (where the model was trained)'}`, kind.tested);
    if (touched(index)) add('In', named(touched(index)));
    add('ID', element('a', { href: `#${encodeURIComponent(idOf(index))}` }, named(idOf(index))));
    const close = element('button', { type: 'button', className: 'close', textContent: '×' });
    close.setAttribute('aria-label', 'Close');
    close.addEventListener('click', () => {
      closeCard();
      byId('cursor').focus({ preventScroll: true });
    });
    const parts = [close, element('h3', {}, named(kind.name)), list];
    if (chipOf.has(index)) {
      const pair = ['before', 'after'].map((date) => element('span', {}, chip(date, chipOf.get(index)), data[date]));
      parts.splice(2, 0, element('div', { className: 'pair' }, ...pair));
    }
    card.replaceChildren(...parts);
    card.hidden = false;
  };
  const closeCard = () => {
    if (!card || card.hidden) return;
    card.hidden = true;
    outline?.remove();
  };
  // Where the patch lies on the map's part of the page, pixels from its left.
  const onScreen = (index) => {
    const bounds = boundsOf(index);
    return [map.latLngToContainerPoint(bounds.getNorthWest()), map.latLngToContainerPoint(bounds.getSouthEast())];
  };
  const PAD = 16;
  const seePatch = (index, near) => {
    const size = map.getSize();
    const isBeside = getComputedStyle(card).position === 'absolute';
    const taken = isBeside ? card.offsetWidth + 2 * PAD : 0;
    const fits = () => {
      const [low, high] = onScreen(index);
      return low.x >= 0 && low.y >= 0 && high.x <= size.x && high.y <= size.y;
    };
    const isFreeOf = (side) => {
      const [low, high] = onScreen(index);
      return side === 'right' ? high.x <= size.x - taken : low.x >= taken;
    };
    card.classList.remove('left');
    if (!near && fits() && (!isBeside || isFreeOf('right'))) return;
    if (!near && fits() && isFreeOf('left')) {
      card.classList.add('left');
      return;
    }
    map.fitBounds(boundsOf(index), {
      paddingTopLeft: [PAD, PAD], paddingBottomRight: [taken + PAD, PAD], maxZoom: near ? closest : map.getZoom(), animate: false,
    });
  };

  // ---- Row, patch, card and address belong together. ----
  const bringToView = () => document.querySelector('.frame').scrollIntoView({ block: 'nearest', behavior: calm ? 'auto' : 'smooth' });
  let chosen = null;
  const cursor = byId('cursor');
  const nameCursor = () => {
    if (chosen === null) return;
    cursor.textContent = `${kindOf(chosen).name}, ${decimals(ha(chosen), 2)} ha`;
    cursor.setAttribute('aria-label', `${cursor.textContent}. The arrow keys go to the next patch, Enter opens it.`);
  };
  const outlineChosen = () => {
    outline?.remove();
    const style = { fill: false, interactive: false, pane: 'chosen', renderer: outline?.options.renderer ?? L.svg({ pane: 'chosen', padding: 0.4 }) };
    outline = L.featureGroup([
      polygons('patch', chosen, { ...style, color: '#000', weight: 6, className: 'chosen' }),
      polygons('patch', chosen, { ...style, color: '#ffd400', weight: 3 }),
    ], style).addTo(map);
    outline.options.renderer = style.renderer;
  };
  const choose = (index) => {
    chosen = index;
    nameCursor();
    outlineChosen();
    const address = `#${encodeURIComponent(idOf(index))}`;
    if (location.hash !== address) history.replaceState(null, '', address);
    table?.show(index);
  };
  const open = (index, near = false) => {
    fillCard(index);
    seePatch(index, near);
    choose(index);
    if (near) bringToView();
  };
  let table = null;
  const startCursor = () => {
    cursor.addEventListener('focus', () => {
      if (chosen === null) choose(table.order()[0] ?? 0);
    });
    cursor.addEventListener('click', () => {
      if (chosen === null) return;
      open(chosen, true);
      // So that a screen reader goes on there.
      card.tabIndex = -1;
      card.focus({ preventScroll: true });
    });
    cursor.addEventListener('keydown', (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      const order = table.order();
      if (!step || !order.length) return;
      const next = order[(table.rank(chosen) + step + order.length) % order.length];
      closeCard();
      if (!map.getBounds().contains(boundsOf(next))) map.panTo(boundsOf(next).getCenter(), { animate: false });
      choose(next);
      event.preventDefault();
      event.stopPropagation();
    });
    // From the map and the table alike; a row keeps the focus.
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || card.hidden) return;
      const isInside = document.querySelector('.frame').contains(document.activeElement);
      closeCard();
      if (isInside) cursor.focus();
    });
  };

  // ---- Addresses of patches: page.html#demo-45530-559992. ----
  let places = null;
  const lost = byId('lost');
  const followAddress = () => {
    let wanted = '';
    try {
      wanted = decodeURIComponent(location.hash.slice(1));
    } catch {
      return;
    }
    if (!wanted || byId(wanted) || !count) return;
    places ??= new Map(Array.from({ length: count }, (_, index) => [idOf(index), index]));
    const index = places.get(wanted);
    lost.hidden = index !== undefined;
    if (index === undefined) {
      const missing = count < data.all_patches ? 'The page holds the largest patches; changes.gpkg has all.' : 'It may be of another run.';
      lost.replaceChildren('No patch on this page is called ', named(wanted), `. ${missing}`);
    }
    if (index === undefined || (index === chosen && !card.hidden)) return;
    if (!shown.has(columns.kind[index])) replaceShown([...data.kinds.keys()]);
    open(index, true);
  };

  // ---- The table: only the rows in view are on the page. ----
  const startTable = () => {
    const [box, body] = [byId('box'), document.querySelector('#patches tbody')];
    const hasChips = data.chips.length > 0;
    const across = document.querySelectorAll('#patches thead th').length;
    const byName = data.kinds.map((kind, i) => i).sort((a, b) => data.kinds[a].name.localeCompare(data.kinds[b].name));
    // What to sort by, as small whole numbers: they are dealt into heaps, each in order of size.
    const heapOf = { probability: (i) => columns.probability[i] + 1, kind: (i) => byName.indexOf(columns.kind[i]) };
    const dealt = (indices, heap, ascending) => {
      const heaps = [];
      indices.forEach((i) => { (heaps[heap(i)] ??= []).push(i); });
      const full = heaps.filter(Boolean);
      return Uint32Array.from((ascending ? full : full.reverse()).flat());
    };
    const bySize = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => columns.ha[b] - columns.ha[a] || (chipOf.get(a) ?? Infinity) - (chipOf.get(b) ?? Infinity) || a - b);
    const ranks = new Int32Array(count);
    let [listed, sorted, hectares] = [bySize, { key: 'ha', ascending: false }, 0];
    const tall = () => parseFloat(getComputedStyle(box).getPropertyValue('--row')) * parseFloat(getComputedStyle(document.documentElement).fontSize);
    let rowHeight = tall();
    const soft = (text, name = 'soft') => element('span', { className: name, title: text }, named(text));
    const rowOf = (index, place) => {
      const kind = kindOf(index);
      const row = element('tr');
      Object.assign(row.dataset, { row: index });
      row.setAttribute('aria-rowindex', place + 2);
      if (index === chosen) {
        row.className = 'chosen';
        row.setAttribute('aria-current', 'true');
      }
      const swatch = element('span', { className: 'swatch' });
      swatch.style.background = kind.swatch;
      const what = element('td', { className: 'what' }, element('button', { type: 'button', className: 'go' }, swatch, named(kind.name)));
      what.append(element('span', { className: 'soft right', title: kind.tested, textContent: kind.brief }));
      if (touched(index)) what.append(soft(`in ${touched(index)}`));
      what.append(soft(idOf(index), 'soft id'));
      if (hasChips) {
        const place_ = chipOf.get(index);
        row.append(place_ === undefined ? element('td', { className: 'chips' }, element('span', { className: 'soft', textContent: '–' }))
          : element('td', { className: 'chips' }, chip('before', place_), chip('after', place_)));
      }
      row.append(what, element('td', { className: 'number', textContent: decimals(ha(index), 2) }),
        element('td', { className: 'number', textContent: decimals(share('probability', index), 2) }));
      return row;
    };
    const spacer = (rows) => {
      const cell = element('td', { colSpan: across });
      cell.style.height = `${rows * rowHeight}px`;
      const row = element('tr', { className: 'spacer' }, cell);
      row.setAttribute('aria-hidden', 'true');
      return row;
    };
    let span = [-1, -1];
    const fill = (force = false) => {
      const first = Math.max(Math.floor(box.scrollTop / rowHeight) - 4, 0);
      const last = Math.min(first + Math.ceil(box.clientHeight / rowHeight) + 9, listed.length);
      if (!force && first === span[0] && last === span[1]) return;
      span = [first, last];
      const focused = body.contains(document.activeElement) ? document.activeElement.closest('tr')?.dataset.row : null;
      const rows = [];
      for (let i = first; i < last; i += 1) rows.push(rowOf(listed[i], i));
      body.replaceChildren(...(first ? [spacer(first)] : []), ...rows, ...(last < listed.length ? [spacer(listed.length - last)] : []));
      if (focused !== null) body.querySelector(`tr[data-row="${focused}"] .go`)?.focus({ preventScroll: true });
    };
    const list = () => {
      const visible = Uint8Array.from(data.kinds, (_, kind) => (shown.has(kind) ? 1 : 0));
      listed = bySize.filter((index) => visible[columns.kind[index]]);
      // Of rounded patches the sum would drift away from the sums on the rest of the page.
      hectares = count === data.all_patches ? [...shown].reduce((sum, kind) => sum + data.kinds[kind].ha, 0)
        : listed.reduce((sum, index) => sum + columns.ha[index], 0) / 10000;
      if (sorted.key !== 'ha') listed = dealt(listed, heapOf[sorted.key], sorted.ascending);
      else if (sorted.ascending) listed.reverse();
      ranks.fill(-1);
      listed.forEach((index, place) => { ranks[index] = place; });
      byId('patches').setAttribute('aria-rowcount', listed.length + 1);
      const every = listed.length === count ? decimals(count, 0) : `${decimals(listed.length, 0)} of ${decimals(count, 0)}`;
      byId('count').textContent = `${every} patches, ${decimals(hectares, 1)} ha (pixel count, biased)`;
      box.scrollTop = 0;
      fill(true);
    };
    const save = () => {
      // What a spreadsheet would take for a formula is a text.
      const cell = (value) => {
        const text = value === null ? '' : String(value);
        const tame = /^[=+\-@\t\r]/.test(text) && typeof value !== 'number' ? `'${text}` : text;
        return /[",\n\r]/.test(tame) ? `"${tame.replaceAll('"', '""')}"` : tame;
      };
      const probability = data.calibrated ? 'change_probability' : 'change_probability_uncalibrated_here';
      const head = ['change_id', 'change', 'from', 'to', 'hectares_pixel_count_biased', probability, 'lowest_pixel',
        // As in the layers, `kind_right` is of the test blocks.
        'right_in_sample', 'right_in_sample_low', 'right_in_sample_high', 'sampled_px', 'kind_right', 'kind_right_low', 'kind_right_high', 'kind_tested_px', 'areas_of_interest', 'before', 'after'];
      const test = (found) => (found ? [found.share, found.low, found.high, found.n] : [null, null, null, null]);
      const lines = [head.join(',')];
      listed.forEach((i) => {
        const kind = kindOf(i);
        lines.push([idOf(i), kind.name, kind.from, kind.to, ha(i), share('probability', i), share('lowest', i), ...test(kind.in_sample), ...test(kind.on_blocks), touched(i), data.before, data.after].map(cell).join(','));
      });
      const link = element('a', { download: `${data.name.replace(/[^\p{L}\p{N}_-]+/gu, '-')}-patches.csv` });
      link.href = URL.createObjectURL(new Blob(['\ufeff', lines.join('\r\n'), '\r\n'], { type: 'text/csv' }));
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    };
    box.addEventListener('scroll', () => fill());
    addEventListener('resize', () => {
      rowHeight = tall();
      fill(true);
    });
    body.addEventListener('click', (event) => {
      const row = event.target.closest('tr[data-row]');
      if (row) open(Number(row.dataset.row), true);
    });
    all('[data-sort]').forEach((button) => button.addEventListener('click', () => {
      const key = button.dataset.sort;
      sorted = { key, ascending: sorted.key === key ? !sorted.ascending : key === 'kind' };
      all('th[aria-sort]').forEach((head) => head.setAttribute('aria-sort', 'none'));
      button.closest('th').setAttribute('aria-sort', sorted.ascending ? 'ascending' : 'descending');
      list();
    }));
    byId('export').addEventListener('click', save);
    table = {
      list,
      order: () => listed,
      rank: (index) => (index === null ? -1 : ranks[index]),
      show: (index) => {
        const place = ranks[index];
        if (place < 0) return;
        const head = box.querySelector('thead').offsetHeight;
        const [top, bottom] = [place * rowHeight, (place + 1) * rowHeight];
        if (top < box.scrollTop) box.scrollTop = top;
        else if (bottom > box.scrollTop + box.clientHeight - head) box.scrollTop = bottom - box.clientHeight + head;
        fill(true);
      },
    };
    list();
  };

  // ---- The legend filters kinds, on the map and in the table. ----
  const showKinds = () => {
    if (!isShowing) release();
    all('[data-kind]').forEach((box) => { box.checked = shown.has(Number(box.dataset.kind)); });
    byId('filter').value = shown.size === data.kinds.length ? 'all' : shown.size === 1 ? String([...shown][0]) : 'mixed';
    if (chosen !== null && !shown.has(columns.kind[chosen])) {
      closeCard();
      outline?.remove();
      chosen = null;
    }
    table.list();
    requestAnimationFrame(() => patches.redraw());
  };
  const replaceShown = (wanted) => {
    shown.clear();
    wanted.forEach((kind) => shown.add(kind));
    showKinds();
  };
  const startFilter = () => {
    all('[data-kind]').forEach((box) => box.addEventListener('change', () => {
      if (box.checked) shown.add(Number(box.dataset.kind));
      else shown.delete(Number(box.dataset.kind));
      showKinds();
    }));
    byId('all')?.addEventListener('click', () => replaceShown([...data.kinds.keys()]));
    byId('none')?.addEventListener('click', () => replaceShown([]));
    byId('filter').addEventListener('change', (event) =>
      replaceShown(event.target.value === 'all' ? [...data.kinds.keys()] : [Number(event.target.value)]));
  };

  // The map needs its place on the page before it is drawn; should that fail, the still pictures come back.
  document.documentElement.classList.add('js');
  try {
    drawMap();
    drawLayers();
    showSteps();
    startSwipe();
    startDoubts();
    if (count) {
      drawPatches();
      startTable();
      startFilter();
      startCursor();
      followAddress();
      addEventListener('hashchange', followAddress);
    }
    // What is wider than the screen says so.
    const wide = all('.scroll:not(.box)');
    const markWide = () => wide.forEach((box) => box.classList.toggle('sideways', box.scrollWidth > box.clientWidth + 1));
    markWide();
    addEventListener('resize', markWide);
    // On paper every warning and note is read.
    const folded = all('details.warnings, details.notes');
    addEventListener('beforeprint', () => folded.forEach((fold) => { fold.open = true; }));
    document.documentElement.classList.add('ready');
  } catch (error) {
    document.documentElement.classList.remove('js');
    throw error;
  }
})();
