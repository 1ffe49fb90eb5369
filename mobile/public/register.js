// A file of its own: the page's policy allows no script inside the page.
if ('serviceWorker' in navigator) {
  navigator.serviceWorker.register('/app/sw.js', { scope: '/app/' }).catch((error) => {
    console.warn('Without a service worker there is no offline view and no notification:', error);
  });
}
