// sharp behind HTTP: POST /?filter=…&format=… with a picture answers with the filtered one.
// node sharp_server.js PROCESSES; prints its port.
const cluster = require('cluster')
const http = require('http')
const sharp = require('sharp')

const processes = Number(process.argv[2])

async function filtered (request) {
  const chunks = []
  for await (const chunk of request) chunks.push(chunk)
  const asked = new URL(request.url, 'http://localhost').searchParams
  const picture = sharp(Buffer.concat(chunks))
  const result = asked.get('filter') === 'grayscale' ? picture.grayscale() : picture.blur(5)
  return (asked.get('format') === 'PNG' ? result.png({ compressionLevel: 6 }) : result.jpeg({ quality: 90 })).toBuffer()
}

if (cluster.isPrimary) {
  let ready = 0
  cluster.on('listening', (worker, address) => { if (++ready === processes) console.log(address.port) })
  for (let number = 0; number < processes; number++) cluster.fork()
  process.on('SIGTERM', () => { for (const worker of Object.values(cluster.workers)) worker.process.kill(); process.exit(0) })
} else {
  sharp.concurrency(1) // two processes, two cores
  sharp.cache(false)
  http.createServer(async (request, response) => {
    try {
      const data = await filtered(request)
      response.writeHead(200, { 'Content-Length': data.length })
      response.end(data)
    } catch (error) {
      response.writeHead(500)
      response.end(String(error))
    }
  }).listen(0, '127.0.0.1')
}
