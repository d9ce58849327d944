// Which files are meant: those of a drop, folders and all, or of an input.

// As dpip/filters/output.py has them: a test compares the two.
const EXTENSIONS = "jpg jpeg jpe jfif mpo png apng webp bmp dib gif tif tiff avif avifs jxl jp2 j2k j2c jpc jpf jpx qoi pnm ppm pgm pbm pam pfm tga icb vda vst heic heif hif heics heifs dds ico cur dng nef nrw cr2 cr3 arw sr2 raf rw2 orf pef srw 3fr erf kdc dcr mrw mef mos rwl".split(" ");
const PICTURES = new RegExp(`\\.(${EXTENSIONS.join("|")})$`, "i");
const SYSTEM = /^(\._.*|\.DS_Store|Thumbs\.db|desktop\.ini)$/i;
const TYPES = /^image\//;

export const ACCEPT = ["image/*", ...EXTENSIONS.map((extension) => `.${extension}`)].join(",");

const inOrder = new Intl.Collator("en", { numeric: true });

const paths = new WeakMap();

/** The name of a file with the folders in which it was found: `rome/day 1/a.jpg`. */
export function pathOf(file) {
  return paths.get(file) || file.name;
}

/** `{pictures, others}` in the order of their paths, `2.png` before `10.png`; others are `{path, reason}`. */
export function sorted(files) {
  const pictures = [];
  const others = [];
  for (const { file, path } of files.sort((one, other) => inOrder.compare(one.path, other.path))) {
    if (SYSTEM.test(file.name)) continue; // nobody has meant these
    const reason = leftOut(file);
    if (reason) others.push({ path, reason });
    else pictures.push(file);
    paths.set(file, path);
  }
  return { pictures, others };
}

/** Why a file is not taken; empty for a picture. */
function leftOut(file) {
  if (!TYPES.test(file.type) && !PICTURES.test(file.name)) return "No picture, by its name.";
  return file.size ? "" : "It is empty.";
}

/** Of an input: `{file, path}` each. */
export function chosen(input) {
  return Array.from(input.files, (file) => ({ file, path: file.webkitRelativePath || file.name }));
}

/** Of a drop, the files in its folders too. The entries must be taken before the event ends. */
export async function dropped(transfer) {
  const entries = Array.from(transfer.items, (item) => item.webkitGetAsEntry?.()).filter(Boolean);
  if (!entries.length) return Array.from(transfer.files, (file) => ({ file, path: file.name }));
  return (await Promise.all(entries.map(walked))).flat();
}

async function walked(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, path: entry.fullPath.replace(/^\//, "") }];
  }
  const reader = entry.createReader();
  const within = [];
  for (;;) {
    // A reader gives a hundred at a time, and none at the end.
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) break;
    within.push(...some);
  }
  return (await Promise.all(within.map(walked))).flat();
}

/** Calls `take({pictures, others})` for what is dropped anywhere on `target`. */
export function onDrop(target, take) {
  let depth = 0; // enter and leave come for every child
  const over = (on) => target.classList.toggle("dropping", on);
  const holdsFiles = (event) => event.dataTransfer?.types.includes("Files");
  const listeners = {
    dragenter: () => over((depth += 1) > 0),
    dragleave: () => over((depth -= 1) > 0),
    dragover: () => {},
    drop: async (event) => {
      over((depth = 0) > 0);
      take(sorted(await dropped(event.dataTransfer)));
    },
  };
  const handle = (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    listeners[event.type](event);
  };
  for (const type of Object.keys(listeners)) target.addEventListener(type, handle);
  return () => Object.keys(listeners).forEach((type) => target.removeEventListener(type, handle));
}
